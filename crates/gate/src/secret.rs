//! A key that cannot be printed and does not outlive its owner in memory.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A key; clones share it, and the last to go wipes it. `Debug` shows that there is one and nothing of it; there is no `Display`.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Keeps `key`.
    pub fn new(key: String) -> Self {
        Self(Arc::new(Zeroizing::new(key)))
    }

    /// Keeps `key`, which leaves no other copy.
    pub(crate) fn of(key: Zeroizing<String>) -> Self {
        Self(Arc::new(key))
    }

    /// The key itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("canary-key".into());
        assert_eq!(format!("{secret:?} {secret:#?}"), "Secret(…) Secret(…)");
    }
}
