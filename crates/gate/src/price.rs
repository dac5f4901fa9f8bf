//! What models cost, as whoever runs the server says. Pure.

use crate::usage::Used;

/// Prices are those of so many tokens.
const TOKENS: u128 = 1_000_000;

/// What some models of an endpoint cost: millionths of money for a million tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    /// Which models: a name, in which `*` stands for anything.
    pub models: String,
    /// For tokens of a request.
    pub input: u64,
    /// For those of them that a cache had; the same where absent.
    pub cached: Option<u64>,
    /// For tokens of an answer.
    pub output: u64,
}

impl Price {
    /// Whether it is the price of this model.
    pub(crate) fn fits(&self, model: &str) -> bool {
        fits(self.models.as_bytes(), model.as_bytes())
    }

    /// What a call cost, in millionths, rounded up.
    pub(crate) fn cost(&self, used: Used) -> u64 {
        let product = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let cached = used.cached.min(used.input);
        let fresh = product(used.input - cached, self.input);
        let known = product(cached, self.cached.unwrap_or(self.input));
        let sum = fresh.saturating_add(known).saturating_add(product(used.output, self.output));
        u64::try_from(sum.div_ceil(TOKENS)).unwrap_or(u64::MAX)
    }
}

/// Whether the text fits the pattern. At most as many steps as both are long, multiplied.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut star) = ((0, 0), None);
    loop {
        let (p, t) = at;
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                star = Some((p, t));
                at = (p + 1, t);
            }
            (Some(wanted), Some(found)) if wanted == found => at = (p + 1, t + 1),
            (None, None) => return true,
            (_, None) => return false,
            (_, Some(_)) => {
                // The last star takes one more.
                let Some((p, taken)) = star else { return false };
                star = Some((p, taken + 1));
                at = (p + 1, taken + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price(cached: Option<u64>) -> Price {
        Price { models: "*".into(), input: 3_000_000, cached, output: 15_000_000 }
    }

    #[test]
    fn a_call_costs_what_its_tokens_do() {
        let used = Used { input: 1_000, cached: 400, output: 100 };
        assert_eq!(price(None).cost(used), 3_000 + 1_500);
        assert_eq!(price(Some(300_000)).cost(used), 600 * 3 + 400 * 3 / 10 + 1_500);
        assert_eq!(price(None).cost(Used::default()), 0);
        let cheap = Price { input: 1, cached: None, output: 0, ..price(None) };
        assert_eq!(cheap.cost(Used { input: 1, ..Used::default() }), 1, "rounded up");
        let mad = Price { input: u64::MAX, cached: None, output: u64::MAX, ..price(None) };
        let much = Used { input: u64::MAX, cached: u64::MAX, output: u64::MAX };
        assert_eq!(mad.cost(much), u64::MAX);
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, model, expected) in [
            ("*", "", true),
            ("*", "a", true),
            ("", "", true),
            ("", "a", false),
            ("claude-*", "claude-sonnet-4-5", true),
            ("claude-*", "claude", false),
            ("*-mini", "gpt-5-mini", true),
            ("*-mini", "gpt-5-mini-2", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c2b", false),
            ("a**", "a", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), model.as_bytes()), expected, "{pattern} {model}");
        }
        assert!(!fits("*a".repeat(200).as_bytes(), "b".repeat(20_000).as_bytes()));
    }
}
