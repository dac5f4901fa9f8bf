//! The verbs: dispatcher, supervisor, streams.
