//! Dispatches from end to end: dispatcher, supervisor and workspaces of the engine over the real
//! ledger, the process backend, this package's worker and an agent that is a script.

#[cfg(test)]
mod chaos;
#[cfg(test)]
mod house;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod life;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod trouble;
