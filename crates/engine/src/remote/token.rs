//! A credential for an outside repository: asked for at each use, handed on to one program, kept nowhere.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// What a service calls who comes with a token alone. It does not matter to most.
const USER: &str = "x-access-token";

/// A token, or `user:password`; by ssh, a private key. Cannot be printed, and is wiped from memory when it goes.
#[derive(Clone, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Token(Zeroizing<String>);

/// A text is no token. It is not said back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is empty, too long, or has characters that no token has")]
pub struct BadToken;

/// What was sent is no key that lets one in by ssh. It is not said back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// Nothing was sent.
    #[error("it is reached by ssh: send a private key as the token")]
    Missing,
    /// It is something else, or broken.
    #[error("the token is no private key in the form of OpenSSH or PEM, which ssh takes")]
    NoKey,
    /// Nobody can say its passphrase here.
    #[error("the private key has a passphrase: make one without, for this repository alone")]
    Passphrase,
}

impl Token {
    /// The private key that it is, as a file of one looks.
    pub(super) fn key(&self) -> Result<Zeroizing<String>, BadKey> {
        let key = Zeroizing::new(format!("{}\n", &*self.0));
        let mut lines = key.lines();
        let first = lines.next().unwrap_or_default();
        let label = first.strip_prefix("-----BEGIN ").and_then(|it| it.strip_suffix("-----"));
        let label = label.filter(|it| it.ends_with("PRIVATE KEY")).ok_or(BadKey::NoKey)?;
        let next = lines.next().ok_or(BadKey::NoKey)?;
        let of_openssh = || {
            // A magic word, and what it is encrypted with.
            let head = next.as_bytes().get(..40).and_then(|it| STANDARD.decode(it).ok());
            head.is_some_and(|head| head.starts_with(b"openssh-key-v1\0\0\0\0\x04none"))
        };
        match label {
            "OPENSSH PRIVATE KEY" if !of_openssh() => Err(BadKey::Passphrase),
            "ENCRYPTED PRIVATE KEY" => Err(BadKey::Passphrase),
            _ if next.starts_with("Proc-Type:") => Err(BadKey::Passphrase),
            _ => Ok(key),
        }
    }

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

    #[test]
    fn a_private_key_is_known_from_what_is_none_and_from_one_with_a_passphrase() {
        let key = |label: &str, next: &str| {
            let text = format!("-----BEGIN {label}-----\n{next}\nx\n-----END {label}-----");
            token(&text).key().map(|key| assert_eq!(*key, format!("{text}\n")))
        };
        let openssh = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW";
        let encrypted = "b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABDK0LSv";
        assert_eq!(key("OPENSSH PRIVATE KEY", openssh), Ok(()));
        assert_eq!(key("OPENSSH PRIVATE KEY", encrypted), Err(BadKey::Passphrase));
        assert_eq!(key("RSA PRIVATE KEY", "MIIE"), Ok(()));
        assert_eq!(key("RSA PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"), Err(BadKey::Passphrase));
        assert_eq!(key("ENCRYPTED PRIVATE KEY", "MIIE"), Err(BadKey::Passphrase));
        assert_eq!(key("PUBLIC KEY", "MIIE"), Err(BadKey::NoKey));
        assert_eq!(token("ghp_canary").key(), Err(BadKey::NoKey));
        assert_eq!(token("-----BEGIN EC PRIVATE KEY-----").key(), Err(BadKey::NoKey));
        assert!(key("EC PRIVATE KEY", "x").is_ok() && token("-----BEGIN X").header().is_err());
    }
}
