//! Everything a sandbox can reach. Assumes its caller is hostile.
