//! The built-in agent: a small honest tool loop that speaks ACP on stdio.
