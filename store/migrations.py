"""The history of the schema: numbered steps, read top to bottom, never edited once released.

Each step is plain SQL, each statement beginning a line of its own. What the tables and columns mean is said in
`schema.py`; tests hold the two together.
"""

from __future__ import annotations

import re

STEPS: list[str] = []

STEPS.append(
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        preset TEXT NOT NULL,
        title TEXT NOT NULL,
        paper TEXT NOT NULL DEFAULT '',
        expect TEXT NOT NULL DEFAULT '',
        spec TEXT NOT NULL CHECK (json_valid(spec)),
        note TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL CHECK (state IN ('running', 'paused', 'stopped', 'finished', 'failed', 'lost')),
        message TEXT NOT NULL DEFAULT '',
        device TEXT NOT NULL DEFAULT 'auto',
        keep TEXT NOT NULL CHECK (keep IN ('tickets', 'rounds', 'all')),
        files TEXT NOT NULL,
        images_planned INTEGER NOT NULL DEFAULT 0,
        created TEXT NOT NULL,
        started TEXT NOT NULL,
        ended TEXT
    ) STRICT;

    CREATE TABLE attempts (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        host TEXT NOT NULL,
        boot_id TEXT NOT NULL,
        pid INTEGER NOT NULL,
        pid_started REAL NOT NULL,
        device TEXT NOT NULL,
        versions TEXT NOT NULL CHECK (json_valid(versions)),
        plan TEXT NOT NULL CHECK (json_valid(plan)),
        plan_changed INTEGER NOT NULL DEFAULT 0 CHECK (plan_changed IN (0, 1)),
        started TEXT NOT NULL,
        heartbeat TEXT NOT NULL,
        images_done INTEGER NOT NULL DEFAULT 0,
        seconds_left REAL,
        doing TEXT NOT NULL DEFAULT '',
        ended TEXT,
        seconds REAL,
        outcome TEXT,
        last_words TEXT NOT NULL DEFAULT ''
    ) STRICT;
    CREATE INDEX attempts_by_run ON attempts (run);

    CREATE TABLE requests (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        action TEXT NOT NULL CHECK (action IN ('pause', 'stop')),
        asked TEXT NOT NULL,
        taken TEXT
    ) STRICT;
    CREATE INDEX requests_by_run ON requests (run);

    CREATE TABLE searches (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        name TEXT NOT NULL,
        method TEXT NOT NULL,
        settings TEXT NOT NULL CHECK (json_valid(settings)),
        UNIQUE (run, name)
    ) STRICT;

    CREATE TABLE rounds (
        id INTEGER PRIMARY KEY,
        search INTEGER NOT NULL REFERENCES searches ON DELETE CASCADE,
        seed INTEGER NOT NULL,
        round INTEGER NOT NULL CHECK (round >= 0),
        step TEXT NOT NULL CHECK (step IN ('train', 'prune', 'overlap', 'rewind', 'done')),
        prunable INTEGER NOT NULL,
        remaining INTEGER NOT NULL,
        weights INTEGER NOT NULL,
        weights_remaining INTEGER NOT NULL,
        sparsity REAL GENERATED ALWAYS AS (1.0 - 1.0 * remaining / prunable) VIRTUAL,
        total_sparsity REAL GENERATED ALWAYS AS (1.0 - 1.0 * weights_remaining / weights) VIRTUAL,
        images INTEGER NOT NULL DEFAULT 0,
        images_forward INTEGER NOT NULL DEFAULT 0,
        started TEXT NOT NULL,
        ended TEXT,
        UNIQUE (search, seed, round)
    ) STRICT;

    CREATE TABLE trainings (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        key TEXT NOT NULL,
        seed INTEGER NOT NULL,
        about TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done')),
        classes INTEGER NOT NULL,
        train_images INTEGER NOT NULL,
        epochs INTEGER NOT NULL,
        steps INTEGER NOT NULL,
        epoch_used INTEGER,
        validation_correct INTEGER,
        validation_count INTEGER,
        validation_loss REAL,
        test_correct INTEGER,
        test_count INTEGER,
        test_loss REAL,
        images INTEGER NOT NULL DEFAULT 0,
        images_forward INTEGER NOT NULL DEFAULT 0,
        seconds REAL NOT NULL DEFAULT 0,
        started TEXT,
        ended TEXT,
        UNIQUE (run, key)
    ) STRICT;

    CREATE TABLE members (
        round INTEGER NOT NULL REFERENCES rounds ON DELETE CASCADE,
        member INTEGER NOT NULL,
        training INTEGER NOT NULL REFERENCES trainings ON DELETE CASCADE,
        segment TEXT NOT NULL,
        PRIMARY KEY (round, member)
    ) STRICT;
    CREATE INDEX members_by_training ON members (training);

    CREATE TABLE epochs (
        id INTEGER PRIMARY KEY,
        training INTEGER NOT NULL REFERENCES trainings ON DELETE CASCADE,
        epoch INTEGER NOT NULL,
        step INTEGER NOT NULL,
        lr REAL NOT NULL,
        train_loss REAL,
        train_accuracy REAL NOT NULL,
        validation_loss REAL,
        validation_accuracy REAL NOT NULL,
        seconds REAL NOT NULL,
        UNIQUE (training, epoch)
    ) STRICT;

    CREATE TABLE layers (
        round INTEGER NOT NULL REFERENCES rounds ON DELETE CASCADE,
        member INTEGER,
        position INTEGER NOT NULL,
        layer TEXT NOT NULL,
        kind TEXT NOT NULL CHECK (kind IN ('conv', 'linear', 'head', 'norm')),
        prunable INTEGER NOT NULL CHECK (prunable IN (0, 1)),
        total INTEGER NOT NULL,
        before INTEGER NOT NULL,
        alive INTEGER NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX layers_once ON layers (round, ifnull(member, -1), layer);

    CREATE TABLE overlaps (
        round INTEGER NOT NULL REFERENCES rounds ON DELETE CASCADE,
        layer TEXT NOT NULL,
        sets TEXT NOT NULL CHECK (sets IN ('kept', 'removed')),
        a INTEGER NOT NULL,
        b INTEGER NOT NULL,
        n INTEGER NOT NULL,
        count_a INTEGER NOT NULL,
        count_b INTEGER NOT NULL,
        both INTEGER NOT NULL,
        either INTEGER NOT NULL,
        expected REAL NOT NULL,
        UNIQUE (round, layer, sets, a, b)
    ) STRICT;

    CREATE TABLE tickets (
        id INTEGER PRIMARY KEY,
        round INTEGER NOT NULL UNIQUE REFERENCES rounds ON DELETE CASCADE,
        mask TEXT NOT NULL,
        start TEXT NOT NULL,
        start_step INTEGER NOT NULL,
        created TEXT NOT NULL
    ) STRICT;

    CREATE TABLE arms (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        name TEXT NOT NULL,
        settings TEXT NOT NULL CHECK (json_valid(settings)),
        UNIQUE (run, name)
    ) STRICT;

    CREATE TABLE evaluations (
        id INTEGER PRIMARY KEY,
        arm INTEGER NOT NULL REFERENCES arms ON DELETE CASCADE,
        ticket INTEGER REFERENCES tickets ON DELETE CASCADE,
        seed INTEGER NOT NULL,
        training INTEGER NOT NULL REFERENCES trainings ON DELETE CASCADE,
        split TEXT NOT NULL CHECK (split IN ('validation', 'test')),
        correct INTEGER NOT NULL,
        count INTEGER NOT NULL,
        accuracy REAL GENERATED ALWAYS AS (1.0 * correct / count) VIRTUAL,
        loss REAL,
        created TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX evaluations_once ON evaluations (arm, ifnull(ticket, -1), seed, split);
    CREATE INDEX evaluations_by_ticket ON evaluations (ticket, arm, training);
    CREATE INDEX evaluations_by_training ON evaluations (training);

    CREATE TABLE checks (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        name TEXT NOT NULL,
        search TEXT NOT NULL,
        method TEXT NOT NULL,
        question TEXT NOT NULL,
        figure REAL,
        low REAL,
        high REAL,
        threshold REAL NOT NULL,
        seeds INTEGER NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN ('clear', 'similar', 'undecided', 'reversed', 'none')),
        sentence TEXT NOT NULL,
        query TEXT NOT NULL,
        created TEXT NOT NULL,
        UNIQUE (run, name, search)
    ) STRICT;

    CREATE TABLE files (
        sha256 TEXT PRIMARY KEY,
        path TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        created TEXT NOT NULL
    ) STRICT;

    CREATE TABLE file_uses (
        sha256 TEXT NOT NULL REFERENCES files,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        role TEXT NOT NULL CHECK (role IN ('mask', 'start', 'trained')),
        ticket INTEGER REFERENCES tickets ON DELETE CASCADE,
        training INTEGER REFERENCES trainings ON DELETE CASCADE
    ) STRICT;
    CREATE UNIQUE INDEX file_uses_once ON file_uses (sha256, run, role, ifnull(ticket, -1), ifnull(training, -1));
    CREATE INDEX file_uses_by_run ON file_uses (run);
    CREATE INDEX file_uses_by_ticket ON file_uses (ticket);
    CREATE INDEX file_uses_by_training ON file_uses (training);

    CREATE TABLE alerts (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        round INTEGER REFERENCES rounds ON DELETE CASCADE,
        message TEXT NOT NULL
    ) STRICT;
    CREATE INDEX alerts_by_run ON alerts (run);
    CREATE INDEX alerts_by_round ON alerts (round);

    CREATE TABLE samples (
        search INTEGER NOT NULL REFERENCES searches ON DELETE CASCADE,
        seed INTEGER NOT NULL,
        round INTEGER NOT NULL,
        member INTEGER NOT NULL,
        sample INTEGER NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (search, seed, round, member, sample)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE log (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        at TEXT NOT NULL,
        level TEXT NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
        message TEXT NOT NULL
    ) STRICT;
    CREATE INDEX log_by_run ON log (run);

    CREATE TABLE student (
        df INTEGER PRIMARY KEY,
        t975 REAL NOT NULL
    ) STRICT;
    INSERT INTO student (df, t975) VALUES
        (1, 12.706204736175), (2, 4.302652729749), (3, 3.182446305284), (4, 2.776445105198), (5, 2.570581835636),
        (6, 2.446911851145), (7, 2.364624251593), (8, 2.306004135204), (9, 2.262157162798), (10, 2.228138851986),
        (11, 2.200985160092), (12, 2.178812829667), (13, 2.160368656463), (14, 2.144786687918), (15, 2.131449545560),
        (16, 2.119905299221), (17, 2.109815577833), (18, 2.100922040241), (19, 2.093024054408), (20, 2.085963447266),
        (21, 2.079613844728), (22, 2.073873067904), (23, 2.068657610419), (24, 2.063898561628), (25, 2.059538552753),
        (26, 2.055529438643), (27, 2.051830516480), (28, 2.048407141795), (29, 2.045229642133), (30, 2.042272456301),
        (31, 2.039513446396), (32, 2.036933343460), (33, 2.034515297449), (34, 2.032244509318), (35, 2.030107928250),
        (36, 2.028094000980), (37, 2.026192463029), (38, 2.024394163912), (39, 2.022690920037), (40, 2.021075390306),
        (41, 2.019540970441), (42, 2.018081702818), (43, 2.016692199228), (44, 2.015367574444), (45, 2.014103388881),
        (46, 2.012895598919), (47, 2.011740513730), (48, 2.010634757624), (49, 2.009575237129), (50, 2.008559112101),
        (51, 2.007583770316), (52, 2.006646805062), (53, 2.005745995318), (54, 2.004879288188), (55, 2.004044783289),
        (56, 2.003240718848), (57, 2.002465459291), (58, 2.001717484145), (59, 2.000995378088), (60, 2.000297822014),
        (61, 1.999623584995), (62, 1.998971517033), (63, 1.998340542521), (64, 1.997729654318), (65, 1.997137908392),
        (66, 1.996564418952), (67, 1.996008354025), (68, 1.995468931430), (69, 1.994945415107), (70, 1.994437111771),
        (71, 1.993943367846), (72, 1.993463566662), (73, 1.992997125890), (74, 1.992543495181), (75, 1.992102154002),
        (76, 1.991672609645), (77, 1.991254395388), (78, 1.990847068812), (79, 1.990450210230), (80, 1.990063421254),
        (81, 1.989686323457), (82, 1.989318557137), (83, 1.988959780175), (84, 1.988609666976), (85, 1.988267907477),
        (86, 1.987934206239), (87, 1.987608281589), (88, 1.987289864831), (89, 1.986978699506), (90, 1.986674540704),
        (91, 1.986377154419), (92, 1.986086316951), (93, 1.985801814346), (94, 1.985523441867), (95, 1.985251003506),
        (96, 1.984984311522), (97, 1.984723186014), (98, 1.984467454508), (99, 1.984216951586);

    -- What a person asks for. Times of the last sign of life only: whether a process still runs, SQL cannot know.

    CREATE VIEW run_states AS
    SELECT
        r.id AS run,
        r.name,
        CASE
            WHEN r.state = 'running'
                AND julianday('now') - julianday(max(r.started, ifnull(a.heartbeat, ''))) > 30.0 / 86400 THEN 'lost'
            ELSE r.state
        END AS state,
        r.message,
        r.created,
        r.ended,
        a.host,
        a.device,
        a.heartbeat,
        ifnull(a.images_done, 0) AS images_done,
        r.images_planned,
        a.seconds_left,
        ifnull(a.doing, '') AS doing,
        (SELECT count(*) FROM attempts WHERE run = r.id) AS attempts,
        (
            SELECT sum(ifnull(seconds, 86400 * (julianday(heartbeat) - julianday(started))))
            FROM attempts WHERE run = r.id
        ) AS seconds
    FROM runs AS r
    LEFT JOIN attempts AS a ON a.id = (SELECT max(id) FROM attempts WHERE run = r.id);

    CREATE VIEW ticket_accuracies AS
    SELECT
        a.run,
        s.name AS search,
        a.name AS arm,
        e.seed,
        r.round,
        e.split,
        ifnull(r.sparsity, 0.0) AS sparsity,
        ifnull(r.total_sparsity, 0.0) AS total_sparsity,
        e.accuracy,
        e.correct,
        e.count,
        e.loss,
        e.ticket,
        e.training
    FROM arms AS a
    JOIN evaluations AS e ON e.arm = a.id
    LEFT JOIN tickets AS t ON t.id = e.ticket
    LEFT JOIN rounds AS r ON r.id = t.round
    LEFT JOIN searches AS s ON s.id = r.search;

    -- From whole counts, so that equal accuracies give an interval of exactly 0. No window functions here and below:
    -- SQLite would compute them for all runs before it picks the one that is asked for.
    CREATE VIEW accuracy_by_sparsity AS
    SELECT
        run, search, arm, round, split, seeds, sparsity, total_sparsity, accuracy,
        (SELECT t975 FROM student WHERE df = seeds - 1) * sqrt(1.0 * squares / (seeds - 1)) / (seeds * count)
            AS half_width,
        sparsity_low, sparsity_high, count
    FROM (
        SELECT
            run, search, arm, round, split, count,
            count(*) AS seeds,
            avg(sparsity) AS sparsity,
            avg(total_sparsity) AS total_sparsity,
            1.0 * sum(correct) / (count(*) * count) AS accuracy,
            count(*) * sum(correct * correct) - sum(correct) * sum(correct) AS squares,
            min(sparsity) AS sparsity_low,
            max(sparsity) AS sparsity_high
        FROM ticket_accuracies
        GROUP BY run, search, arm, round, split, count
    );

    CREATE VIEW layer_overlaps AS
    SELECT
        s.run,
        s.name AS search,
        r.seed,
        r.round,
        l.position,
        o.layer,
        l.kind,
        o.sets,
        o.a,
        o.b,
        o.n,
        o.count_a,
        o.count_b,
        o.both,
        o.either,
        o.expected,
        1.0 * o.both / nullif(o.either, 0) AS iou,
        o.expected / nullif(o.count_a + o.count_b - o.expected, 0) AS chance
    FROM searches AS s
    JOIN rounds AS r ON r.search = s.id
    JOIN overlaps AS o ON o.round = r.id
    LEFT JOIN layers AS l ON l.round = o.round AND ifnull(l.member, -1) = -1 AND l.layer = o.layer;

    CREATE VIEW overlap_by_round AS
    SELECT
        s.run,
        s.name AS search,
        r.seed,
        r.round,
        o.sets,
        1.0 * sum(o.both) / nullif(sum(o.either), 0) AS iou,
        sum(o.expected) / nullif(sum(o.count_a + o.count_b - o.expected), 0) AS chance,
        sum(o.both) AS both,
        sum(o.either) AS either,
        sum(o.expected) AS expected,
        sum(o.n) / count(DISTINCT o.a || ' ' || o.b) AS n,
        count(DISTINCT o.a || ' ' || o.b) AS pairs
    FROM searches AS s
    JOIN rounds AS r ON r.search = s.id
    JOIN overlaps AS o ON o.round = r.id
    GROUP BY s.run, s.name, r.seed, r.round, o.sets;

    CREATE VIEW loss_by_round AS
    SELECT
        s.run,
        s.name AS search,
        r.seed,
        r.round,
        l.kind,
        sum(l.before) AS before,
        sum(l.before - l.alive) AS removed,
        1.0 * sum(l.before - l.alive) / nullif(sum(l.before), 0) AS fraction
    FROM searches AS s
    JOIN rounds AS r ON r.search = s.id
    JOIN layers AS l ON l.round = r.id AND l.member IS NULL AND l.prunable = 1
    GROUP BY s.run, s.name, r.seed, r.round, l.kind;

    -- A training that evaluates a ticket is paid for once: when it is also a member of a later round (the ticket of
    -- round r is what a search without segments trains in round r + 1), it counts as evaluation up to there only.
    CREATE VIEW cost_by_round AS
    SELECT
        run, search, seed, round, sparsity, total_sparsity, images, images_forward,
        images + evaluation AS images_with_evaluation
    FROM (
        SELECT
            s.run, s.name AS search, r.seed, r.round, r.sparsity, r.total_sparsity,
            (
                SELECT sum(p.images) FROM rounds AS p
                WHERE p.search = s.id AND p.seed = r.seed AND p.round <= r.round AND p.step = 'done'
            ) AS images,
            (
                SELECT sum(p.images_forward) FROM rounds AS p
                WHERE p.search = s.id AND p.seed = r.seed AND p.round <= r.round AND p.step = 'done'
            ) AS images_forward,
            ifnull((
                SELECT sum(images) FROM trainings WHERE id IN (
                    SELECT e.training
                    FROM rounds AS p
                    JOIN tickets AS k ON k.round = p.id
                    JOIN evaluations AS e ON e.ticket = k.id
                    WHERE p.search = s.id AND p.seed = r.seed AND p.round <= r.round AND p.step = 'done'
                        AND e.arm IN (
                            SELECT id FROM arms
                            WHERE run = s.run
                                AND ifnull(json_extract(settings, '$.start'), 'ticket') = 'ticket'
                                AND ifnull(json_extract(settings, '$.mask'), 'found') = 'found'
                        )
                    EXCEPT
                    SELECT m.training
                    FROM rounds AS p
                    JOIN members AS m ON m.round = p.id
                    WHERE p.search = s.id AND p.seed = r.seed AND p.round <= r.round AND p.step = 'done'
                )
            ), 0) AS evaluation
        FROM searches AS s
        JOIN rounds AS r ON r.search = s.id
        WHERE r.step = 'done'
    );

    CREATE VIEW cost_to_sparsity AS
    SELECT
        c.run,
        c.search,
        levels.level,
        count(*) AS seeds,
        (
            SELECT count(DISTINCT r.seed) FROM searches AS s JOIN rounds AS r ON r.search = s.id
            WHERE s.run = c.run AND s.name = c.search AND r.step = 'done'
        ) AS seeds_searched,
        avg(c.round) AS round,
        avg(c.sparsity) AS sparsity,
        avg(c.images) AS images,
        avg(c.images_with_evaluation) AS images_with_evaluation
    FROM cost_by_round AS c
    JOIN (
        SELECT 0.5 AS level UNION ALL SELECT 0.8 UNION ALL SELECT 0.9
        UNION ALL SELECT 0.95 UNION ALL SELECT 0.98 UNION ALL SELECT 0.99
    ) AS levels ON c.sparsity >= levels.level
    WHERE c.round = (
        SELECT min(r.round) FROM searches AS s JOIN rounds AS r ON r.search = s.id
        WHERE s.run = c.run AND s.name = c.search AND r.seed = c.seed AND r.step = 'done' AND r.sparsity >= levels.level
    )
    GROUP BY c.run, c.search, levels.level;
    """
)

STEPS.append(
    """
    ALTER TABLE trainings ADD COLUMN attempt INTEGER REFERENCES attempts ON DELETE SET NULL;
    ALTER TABLE trainings ADD COLUMN taken_from TEXT;
    CREATE INDEX trainings_by_key ON trainings (key);
    CREATE INDEX trainings_by_attempt ON trainings (attempt);

    CREATE TABLE epochs_anew (
        id INTEGER PRIMARY KEY,
        training INTEGER NOT NULL REFERENCES trainings ON DELETE CASCADE,
        epoch INTEGER NOT NULL,
        step INTEGER NOT NULL,
        lr REAL NOT NULL,
        train_loss REAL,
        train_accuracy REAL NOT NULL,
        validation_loss REAL,
        validation_accuracy REAL,
        seconds REAL NOT NULL,
        UNIQUE (training, epoch)
    ) STRICT;
    INSERT INTO epochs_anew SELECT * FROM epochs;
    DROP TABLE epochs;
    ALTER TABLE epochs_anew RENAME TO epochs;
    """
)

STEPS.append(
    """
    ALTER TABLE arms ADD COLUMN changes TEXT GENERATED ALWAYS AS (rtrim(
        CASE WHEN ifnull(json_extract(settings, '$.start'), 'ticket') <> 'ticket' THEN 'start ' ELSE '' END
        || CASE WHEN ifnull(json_extract(settings, '$.weights'), 'own') <> 'own' THEN 'weights ' ELSE '' END
        || CASE WHEN ifnull(json_extract(settings, '$.mask'), 'found') <> 'found' THEN 'mask ' ELSE '' END
        || CASE WHEN ifnull(json_extract(settings, '$.network'), 'own') <> 'own' THEN 'network ' ELSE '' END
        || CASE WHEN ifnull(json_extract(settings, '$.recipe'), '{}') <> '{}' THEN 'recipe ' ELSE '' END
        || CASE WHEN json_extract(settings, '$.begin') IS NOT NULL THEN 'begin' ELSE '' END
    )) VIRTUAL;

    ALTER TABLE trainings ADD COLUMN weights INTEGER;

    CREATE TABLE checks_anew (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        name TEXT NOT NULL,
        search TEXT NOT NULL,
        part TEXT NOT NULL DEFAULT '',
        method TEXT NOT NULL,
        question TEXT NOT NULL,
        figure REAL,
        low REAL,
        high REAL,
        unit TEXT NOT NULL DEFAULT 'points',
        threshold REAL,
        detectable REAL,
        sampling REAL,
        seeds INTEGER NOT NULL,
        verdict TEXT NOT NULL CHECK (verdict IN (
            'clear', 'similar', 'undecided', 'reversed', 'none', 'stable', 'unstable', 'passed', 'failed',
            'jackpot', 'secondary', 'no ticket'
        )),
        sentence TEXT NOT NULL,
        query TEXT NOT NULL DEFAULT '',
        x TEXT NOT NULL DEFAULT '',
        y TEXT NOT NULL DEFAULT '',
        created TEXT NOT NULL,
        UNIQUE (run, name, search, part)
    ) STRICT;
    INSERT INTO checks_anew (
        id, run, name, search, method, question, figure, low, high, threshold, seeds, verdict, sentence, query, created
    ) SELECT
        id, run, name, search, method, question, figure, low, high, threshold, seeds, verdict, sentence, query, created
    FROM checks;
    DROP TABLE checks;
    ALTER TABLE checks_anew RENAME TO checks;

    CREATE TABLE points (
        "check" INTEGER NOT NULL REFERENCES checks ON DELETE CASCADE,
        series TEXT NOT NULL,
        seed INTEGER NOT NULL,
        x REAL NOT NULL,
        y REAL,
        PRIMARY KEY ("check", series, seed, x)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE measurements (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        key TEXT NOT NULL,
        seed INTEGER NOT NULL,
        method TEXT NOT NULL,
        about TEXT NOT NULL CHECK (json_valid(about)),
        figures TEXT NOT NULL CHECK (json_valid(figures)),
        images INTEGER NOT NULL,
        images_forward INTEGER NOT NULL,
        seconds REAL NOT NULL,
        created TEXT NOT NULL,
        UNIQUE (run, key)
    ) STRICT;

    -- Deviations from the mean first: squares of near figures less their mean's square would lose every digit.
    CREATE VIEW check_curves AS
    SELECT
        m.run, m."check", m.search, m.part, m.series, m.x, m.seeds, m.y,
        (SELECT t975 FROM student WHERE df = m.seeds - 1) * sqrt(
            (
                SELECT sum((p.y - m.y) * (p.y - m.y)) FROM points AS p
                WHERE p."check" = m.id AND p.series = m.series AND p.x = m.x
            ) / (m.seeds - 1) / m.seeds
        ) AS half_width
    FROM (
        SELECT c.id, c.run, c.name AS "check", c.search, c.part, p.series, p.x, count(p.y) AS seeds, avg(p.y) AS y
        FROM checks AS c
        JOIN points AS p ON p."check" = c.id
        GROUP BY c.id, p.series, p.x
    ) AS m;

    -- Only the arm that trains the ticket as it was found evaluates it: none that has another recipe or start.
    DROP VIEW cost_to_sparsity;
    DROP VIEW cost_by_round;
    CREATE VIEW cost_by_round AS
    SELECT
        run, search, seed, round, sparsity, total_sparsity, images, images_forward,
        images + evaluation AS images_with_evaluation
    FROM (
        SELECT
            s.run, s.name AS search, r.seed, r.round, r.sparsity, r.total_sparsity,
            (
                SELECT sum(p.images) FROM rounds AS p
                WHERE p.search = s.id AND p.seed = r.seed AND p.round <= r.round AND p.step = 'done'
            ) AS images,
            (
                SELECT sum(p.images_forward) FROM rounds AS p
                WHERE p.search = s.id AND p.seed = r.seed AND p.round <= r.round AND p.step = 'done'
            ) AS images_forward,
            ifnull((
                SELECT sum(images) FROM trainings WHERE id IN (
                    SELECT e.training
                    FROM rounds AS p
                    JOIN tickets AS k ON k.round = p.id
                    JOIN evaluations AS e ON e.ticket = k.id
                    WHERE p.search = s.id AND p.seed = r.seed AND p.round <= r.round AND p.step = 'done'
                        AND e.arm IN (SELECT id FROM arms WHERE run = s.run AND changes = '')
                    EXCEPT
                    SELECT m.training
                    FROM rounds AS p
                    JOIN members AS m ON m.round = p.id
                    WHERE p.search = s.id AND p.seed = r.seed AND p.round <= r.round AND p.step = 'done'
                )
            ), 0) AS evaluation
        FROM searches AS s
        JOIN rounds AS r ON r.search = s.id
        WHERE r.step = 'done'
    );

    CREATE VIEW cost_to_sparsity AS
    SELECT
        c.run,
        c.search,
        levels.level,
        count(*) AS seeds,
        (
            SELECT count(DISTINCT r.seed) FROM searches AS s JOIN rounds AS r ON r.search = s.id
            WHERE s.run = c.run AND s.name = c.search AND r.step = 'done'
        ) AS seeds_searched,
        avg(c.round) AS round,
        avg(c.sparsity) AS sparsity,
        avg(c.images) AS images,
        avg(c.images_with_evaluation) AS images_with_evaluation
    FROM cost_by_round AS c
    JOIN (
        SELECT 0.5 AS level UNION ALL SELECT 0.8 UNION ALL SELECT 0.9
        UNION ALL SELECT 0.95 UNION ALL SELECT 0.98 UNION ALL SELECT 0.99
    ) AS levels ON c.sparsity >= levels.level
    WHERE c.round = (
        SELECT min(r.round) FROM searches AS s JOIN rounds AS r ON r.search = s.id
        WHERE s.run = c.run AND s.name = c.search AND r.seed = c.seed AND r.step = 'done' AND r.sparsity >= levels.level
    )
    GROUP BY c.run, c.search, levels.level;
    """
)

STEPS.append(
    """
    CREATE TABLE traces (
        training INTEGER NOT NULL REFERENCES trainings ON DELETE CASCADE,
        step INTEGER NOT NULL,
        kind TEXT NOT NULL,
        layer TEXT NOT NULL,
        value REAL,
        PRIMARY KEY (training, kind, layer, step)
    ) STRICT, WITHOUT ROWID;

    ALTER TABLE tickets ADD COLUMN samples TEXT;

    CREATE TABLE sets (
        round INTEGER NOT NULL UNIQUE REFERENCES rounds ON DELETE CASCADE,
        size INTEGER NOT NULL,
        training INTEGER,
        pruning INTEGER,
        both INTEGER
    ) STRICT;

    CREATE TABLE file_uses_anew (
        sha256 TEXT NOT NULL REFERENCES files,
        run TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
        role TEXT NOT NULL CHECK (role IN ('mask', 'start', 'trained', 'samples')),
        ticket INTEGER REFERENCES tickets ON DELETE CASCADE,
        training INTEGER REFERENCES trainings ON DELETE CASCADE
    ) STRICT;
    INSERT INTO file_uses_anew SELECT * FROM file_uses;
    DROP TABLE file_uses;
    ALTER TABLE file_uses_anew RENAME TO file_uses;
    CREATE UNIQUE INDEX file_uses_once ON file_uses (sha256, run, role, ifnull(ticket, -1), ifnull(training, -1));
    CREATE INDEX file_uses_by_run ON file_uses (run);
    CREATE INDEX file_uses_by_ticket ON file_uses (ticket);
    CREATE INDEX file_uses_by_training ON file_uses (training);
    """
)

STEPS.append(
    """
    ALTER TABLE attempts ADD COLUMN device_name TEXT NOT NULL DEFAULT '';
    ALTER TABLE alerts ADD COLUMN subject TEXT NOT NULL DEFAULT '';

    CREATE TABLE machine (
        id INTEGER PRIMARY KEY,
        attempt INTEGER NOT NULL REFERENCES attempts ON DELETE CASCADE,
        at TEXT NOT NULL,
        seconds REAL NOT NULL,
        images INTEGER NOT NULL,
        cpu REAL,
        memory INTEGER,
        card_use REAL,
        card_memory INTEGER,
        card_memory_used INTEGER,
        card_memory_total INTEGER,
        power REAL,
        temperature REAL,
        energy REAL,
        energy_from TEXT CHECK (energy_from IN ('counter', 'power')),
        free_store INTEGER,
        free_files INTEGER
    ) STRICT;
    CREATE INDEX machine_by_attempt ON machine (attempt);
    """
)

STEPS.append(
    """
    CREATE TABLE checkpoints (
        training INTEGER NOT NULL REFERENCES trainings ON DELETE CASCADE,
        path TEXT NOT NULL,
        step INTEGER,
        sha256 TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        written TEXT NOT NULL,
        UNIQUE (training, path)
    ) STRICT;
    """
)

STEPS.append(
    """
    ALTER TABLE runs ADD COLUMN taken_in INTEGER NOT NULL DEFAULT 0;
    """
)

STEPS.append(
    """
    -- Tickets that are each found by a training of their own cost that training alone.
    ALTER TABLE searches ADD COLUMN apart INTEGER NOT NULL DEFAULT 0;
    UPDATE searches SET apart = 1 WHERE method IN ('set', 'rigl', 'gmp');
    ALTER TABLE trainings ADD COLUMN start_step INTEGER;

    DROP VIEW cost_to_sparsity;
    DROP VIEW cost_by_round;
    CREATE VIEW cost_by_round AS
    SELECT
        run, search, seed, round, sparsity, total_sparsity, images, images_forward,
        images + evaluation AS images_with_evaluation
    FROM (
        SELECT
            s.run, s.name AS search, r.seed, r.round, r.sparsity, r.total_sparsity,
            (
                SELECT sum(p.images) FROM rounds AS p
                WHERE p.search = s.id AND p.seed = r.seed AND p.step = 'done'
                    AND p.round BETWEEN CASE s.apart WHEN 1 THEN r.round ELSE 0 END AND r.round
            ) AS images,
            (
                SELECT sum(p.images_forward) FROM rounds AS p
                WHERE p.search = s.id AND p.seed = r.seed AND p.step = 'done'
                    AND p.round BETWEEN CASE s.apart WHEN 1 THEN r.round ELSE 0 END AND r.round
            ) AS images_forward,
            ifnull((
                SELECT sum(images) FROM trainings WHERE id IN (
                    SELECT e.training
                    FROM rounds AS p
                    JOIN tickets AS k ON k.round = p.id
                    JOIN evaluations AS e ON e.ticket = k.id
                    WHERE p.search = s.id AND p.seed = r.seed AND p.step = 'done'
                        AND p.round BETWEEN CASE s.apart WHEN 1 THEN r.round ELSE 0 END AND r.round
                        AND e.arm IN (SELECT id FROM arms WHERE run = s.run AND changes = '')
                    EXCEPT
                    SELECT m.training
                    FROM rounds AS p
                    JOIN members AS m ON m.round = p.id
                    WHERE p.search = s.id AND p.seed = r.seed AND p.step = 'done'
                        AND p.round BETWEEN CASE s.apart WHEN 1 THEN r.round ELSE 0 END AND r.round
                )
            ), 0) AS evaluation
        FROM searches AS s
        JOIN rounds AS r ON r.search = s.id
        WHERE r.step = 'done'
    );

    CREATE VIEW cost_to_sparsity AS
    SELECT
        c.run,
        c.search,
        levels.level,
        count(*) AS seeds,
        (
            SELECT count(DISTINCT r.seed) FROM searches AS s JOIN rounds AS r ON r.search = s.id
            WHERE s.run = c.run AND s.name = c.search AND r.step = 'done'
        ) AS seeds_searched,
        avg(c.round) AS round,
        avg(c.sparsity) AS sparsity,
        avg(c.images) AS images,
        avg(c.images_with_evaluation) AS images_with_evaluation
    FROM cost_by_round AS c
    JOIN (
        SELECT 0.5 AS level UNION ALL SELECT 0.8 UNION ALL SELECT 0.9
        UNION ALL SELECT 0.95 UNION ALL SELECT 0.98 UNION ALL SELECT 0.99
    ) AS levels ON c.sparsity >= levels.level
    WHERE c.round = (
        SELECT min(r.round) FROM searches AS s JOIN rounds AS r ON r.search = s.id
        WHERE s.run = c.run AND s.name = c.search AND r.seed = c.seed AND r.step = 'done' AND r.sparsity >= levels.level
    )
    GROUP BY c.run, c.search, levels.level;
    """
)


ADDING = r"(?:CREATE (?:TABLE|VIEW|INDEX|UNIQUE INDEX)|ALTER TABLE \w+ ADD COLUMN)\s"


def only_adds(step: str) -> bool:
    """Whether a program that knows nothing of the step can go on writing: no table, column or view goes or changes."""
    text = re.sub(r"--[^\n]*", "", step)
    return all(re.match(ADDING, statement.strip()) for statement in text.split(";") if statement.strip())
