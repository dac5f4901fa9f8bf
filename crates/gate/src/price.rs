//! What models cost, as whoever runs the server says. Pure.

use engine::port::ModelPrice;

use crate::usage::Used;

/// Prices are those of so many tokens.
const TOKENS: u128 = 1_000_000;

/// Whether it is the price of this model.
pub(crate) fn fits(price: &ModelPrice, model: &str) -> bool {
    matches(price.models.as_bytes(), model.as_bytes())
}

/// What a call cost, in millionths, rounded up.
pub(crate) fn cost(price: &ModelPrice, used: Used) -> u64 {
    let product = |tokens: u64, each: u64| u128::from(tokens) * u128::from(each);
    let cached = used.cached.min(used.input);
    let fresh = product(used.input - cached, price.input);
    let known = product(cached, price.cached.unwrap_or(price.input));
    let sum = fresh.saturating_add(known).saturating_add(product(used.output, price.output));
    u64::try_from(sum.div_ceil(TOKENS)).unwrap_or(u64::MAX)
}

/// Whether the text fits the pattern. At most as many steps as both are long, multiplied.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
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

    fn price(cached: Option<u64>) -> ModelPrice {
        ModelPrice { models: "*".into(), input: 3_000_000, cached, output: 15_000_000 }
    }

    #[test]
    fn a_call_costs_what_its_tokens_do() {
        let used = Used { input: 1_000, cached: 400, output: 100 };
        assert_eq!(cost(&price(None), used), 3_000 + 1_500);
        assert_eq!(cost(&price(Some(300_000)), used), 600 * 3 + 400 * 3 / 10 + 1_500);
        assert_eq!(cost(&price(None), Used::default()), 0);
        let cheap = ModelPrice { input: 1, cached: None, output: 0, ..price(None) };
        assert_eq!(cost(&cheap, Used { input: 1, ..Used::default() }), 1, "rounded up");
        let mad = ModelPrice { input: u64::MAX, cached: None, output: u64::MAX, ..price(None) };
        let much = Used { input: u64::MAX, cached: u64::MAX, output: u64::MAX };
        assert_eq!(cost(&mad, much), u64::MAX);
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
            assert_eq!(
                matches(pattern.as_bytes(), model.as_bytes()),
                expected,
                "{pattern} {model}"
            );
        }
        assert!(!matches("*a".repeat(200).as_bytes(), "b".repeat(20_000).as_bytes()));
    }
}
