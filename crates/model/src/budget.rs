//! A budget: how much of models may be used.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The most that may be used. What is absent has no bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Calls of models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<u64>,
    /// Tokens of requests and answers together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Money, in millionths of whatever prices are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micros: Option<u64>,
}

impl Budget {
    /// What both allow.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
        Self {
            requests: least(self.requests, other.requests),
            tokens: least(self.tokens, other.tokens),
            micros: least(self.micros, other.micros),
        }
    }

    /// Whether nothing has a bound.
    pub fn is_unbounded(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_within_another_is_never_higher() {
        let usual = Budget { requests: Some(10), tokens: Some(100), micros: None };
        let asked = Budget { requests: Some(50), tokens: Some(5), micros: Some(7) };
        let both = Budget { requests: Some(10), tokens: Some(5), micros: Some(7) };
        assert_eq!(usual.within(asked), both);
        assert_eq!(usual.within(Budget::default()), usual);
        assert!(Budget::default().is_unbounded() && !usual.is_unbounded());
    }
}
