//! Drives the real program over its real interfaces: processes, HTTP, signals.
#![expect(clippy::panic, reason = "a test that cannot go on says why")]

mod harness;
mod judge;

mod abandoned;
mod agents;
mod at_rest;
mod authorization;
mod bad_input;
mod broken_disk;
mod budgets;
mod chat;
mod claude_code;
mod command_line;
mod conversation;
mod endpoints;
mod fifty;
mod git;
mod hostile_agents;
mod kills;
mod knowledge;
mod leftovers;
mod login;
mod permissions;
mod proposals;
mod random_agents;
mod random_kills;
mod recording;
mod remotes;
mod secrets;
mod sharing;
mod siblings;
mod ssh;
mod start;
mod stops;
mod suggestions;
mod tools;
mod transcripts;
mod two_servers;
mod usage;
mod workspaces;
