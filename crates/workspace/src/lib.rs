//! Git folders as trusted code sees them: checkout, walk, commit. Never runs git, never honours a folder's config.
