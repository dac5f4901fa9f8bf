-- Has a row once the rows of this file are sealed; then every text that is sealed at all is.
CREATE TABLE sealing (rows TEXT NOT NULL) STRICT;
