//! A credential for an outside repository: asked for at each use, handed on to one program, kept nowhere.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// What a service calls who comes with a token alone. It does not matter to most.
const USER: &str = "x-access-token";

/// A token, or `user:password`. Cannot be printed, and is wiped from memory when it goes.
#[derive(Clone, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Token(Zeroizing<String>);

/// A text is no token. It is not said back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is empty, too long, or has characters that no token has")]
pub struct BadToken;

impl Token {
    /// The header that carries it, by basic authentication.
    pub(super) fn header(&self) -> Result<Zeroizing<String>, BadToken> {
        if !self.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(BadToken);
        }
        let pair = if self.0.contains(':') {
            self.0.clone()
        } else {
            Zeroizing::new(format!("{USER}:{}", &*self.0))
        };
        let pair = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        Ok(Zeroizing::new(format!("Authorization: Basic {}", &*pair)))
    }
}

impl TryFrom<String> for Token {
    type Error = BadToken;

    fn try_from(text: String) -> Result<Self, BadToken> {
        let text = Zeroizing::new(text);
        let plain = |byte: u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n');
        let good =
            text.trim().len() > 3 && text.len() <= TOKEN_BYTES_MAX && text.bytes().all(plain);
        if good { Ok(Self(Zeroizing::new(text.trim().to_owned()))) } else { Err(BadToken) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Token {
        text.to_owned().try_into().expect("a token")
    }

    #[test]
    fn a_token_becomes_a_header_and_is_never_printed() {
        for (text, pair) in [
            ("ghp_canary\n", "eC1hY2Nlc3MtdG9rZW46Z2hwX2NhbmFyeQ=="),
            ("joe:secret", "am9lOnNlY3JldA=="),
            ("joe:secrets", "am9lOnNlY3JldHM="),
        ] {
            let header = token(text).header().expect("a header");
            assert_eq!(*header, format!("Authorization: Basic {pair}"));
            assert_eq!(format!("{:?} {:#?}", token(text), token(text)), "Token(…) Token(…)");
        }
        for bad in ["", "abc", "a\r\nX: y", "tok\u{7}en", &"x".repeat(20_000)] {
            let refused = Token::try_from(bad.to_owned()).expect_err("no token");
            assert!(bad.is_empty() || !refused.to_string().contains(bad));
        }
        assert!(token("two words").header().is_err());
    }
}
