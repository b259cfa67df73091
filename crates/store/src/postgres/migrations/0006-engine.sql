-- Which engine keeps the ledger. Servers go by this, not by an option.

ALTER TABLE tongjang.ledger ADD COLUMN engine text COLLATE "C" NOT NULL DEFAULT 'postgresql'
    CONSTRAINT ledger_engine_known CHECK (engine IN ('postgresql', 'citus'));
