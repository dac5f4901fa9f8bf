//! The configuration: flags > `REMIT_SECTION__KEY` > `./remit.toml` > `$XDG_CONFIG_HOME/remit/config.toml`
//! > `/etc/remit/config.toml` > defaults. The only reader of environment and configuration files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::exit::{Exit, Failed};
use crate::settings::{Kind, SETTINGS, Setting, find, nearest};

/// The longest secret that is read from a file, in bytes.
const SECRET_BYTES_MAX: usize = 16 << 10;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag,
    Environment(String),
    File(PathBuf),
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// What surrounds the program: read once, here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) files: Vec<PathBuf>,
}

impl Surroundings {
    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        let variables: BTreeMap<_, _> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let mut files = vec![PathBuf::from("remit.toml")];
        let home = variables.get("HOME").map(|home| Path::new(home).join(".config"));
        let settings = variables.get("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
        files.extend(settings.map(|folder| folder.join("remit/config.toml")));
        files.push(PathBuf::from("/etc/remit/config.toml"));
        Self { variables, files }
    }

    /// Where everything is kept when nobody says.
    fn data(&self) -> (PathBuf, Origin) {
        let variable = |name: &str| self.variables.get(name).filter(|value| !value.is_empty());
        if let Some(folder) = variable("XDG_DATA_HOME") {
            let origin = Origin::Environment("XDG_DATA_HOME".to_owned());
            return (Path::new(folder).join("remit"), origin);
        }
        let folder = match variable("HOME") {
            Some(home) => Path::new(home).join(".local/share/remit"),
            None => PathBuf::from("/var/lib/remit"),
        };
        (folder, Origin::Default)
    }
}

/// One value and where it comes from.
#[derive(Clone)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// All settings, checked.
#[derive(Clone)]
pub(crate) struct Config {
    values: BTreeMap<&'static str, Value>,
    /// The model endpoints beside the first, by name: `[model.NAME]` of a file.
    endpoints: BTreeMap<String, (NamedEndpoint, Origin)>,
    /// The servers of tools, by name: `[mcp.NAME]` of a file.
    servers: BTreeMap<String, NamedServer>,
}

/// A server of tools of a file.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedServer {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) about: String,
    /// The path of a file that holds its key.
    #[serde(default)]
    pub(crate) key_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) header: Option<String>,
    #[serde(default)]
    pub(crate) reads: Vec<String>,
    #[serde(default)]
    pub(crate) acts: Vec<String>,
    #[serde(default)]
    pub(crate) untrusted: bool,
}

impl NamedServer {
    /// Its key, read from its file.
    pub(crate) fn key(&self, name: &str) -> Result<Option<String>, Failed> {
        let read = |path: &PathBuf| secret_file(path, &format!("mcp.{name}.key_file"));
        self.key_file.as_ref().map(read).transpose()
    }
}

/// A setting as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
    pub(crate) about: &'static str,
}

/// What stands for the value of a secret.
pub(crate) const HIDDEN: &str = "(hidden)";

/// A model endpoint of a file.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedEndpoint {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) api: Option<String>,
    pub(crate) name: String,
    /// The path of a file that holds its key.
    #[serde(default)]
    pub(crate) key_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) models: Vec<String>,
    #[serde(default)]
    pub(crate) runners: Vec<String>,
    #[serde(default)]
    pub(crate) max_tokens: Option<u64>,
    #[serde(default)]
    pub(crate) prices: Vec<NamedPrice>,
}

/// What models of an endpoint cost, in a file.
#[derive(Debug, Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamedPrice {
    /// Which ones; all where nothing is said.
    #[serde(default = "all")]
    pub(crate) models: String,
    pub(crate) input: u64,
    #[serde(default)]
    pub(crate) cached: Option<u64>,
    pub(crate) output: u64,
}

fn all() -> String {
    "*".to_owned()
}

impl NamedEndpoint {
    /// Its key, read from its file.
    pub(crate) fn key(&self, name: &str) -> Result<Option<String>, Failed> {
        let read = |path: &PathBuf| secret_file(path, &format!("model.{name}.key_file"));
        self.key_file.as_ref().map(read).transpose()
    }

    /// What it says, each under its name; of its key only that it has one.
    fn shown(&self) -> Vec<(&'static str, Option<String>, &'static str)> {
        let list = |items: &[String]| (!items.is_empty()).then(|| items.join(","));
        vec![
            ("url", Some(self.url.clone()), "a further model endpoint"),
            ("api", self.api.clone(), "the dialect of that endpoint"),
            ("name", Some(self.name.clone()), "the model that is asked for there"),
            ("models", list(&self.models), "the models that may be asked for there"),
            ("runners", list(&self.runners), "the runners whose models it is; all where absent"),
            ("max_tokens", self.max_tokens.map(|most| most.to_string()), "the most it answers"),
            ("key", self.key_file.as_ref().map(|_| HIDDEN.to_owned()), "the key of that endpoint"),
        ]
    }
}

impl Config {
    /// Reads every layer; `flags` are (setting, value).
    pub(crate) fn load(
        surroundings: &Surroundings,
        flags: Vec<(&'static str, String)>,
    ) -> Result<Self, Failed> {
        let mut values = BTreeMap::new();
        for setting in SETTINGS {
            if let Some(default) = setting.default {
                let value = Value { text: default.to_owned(), origin: Origin::Default };
                values.insert(setting.key, value);
            }
        }
        let (data, origin) = surroundings.data();
        values.insert("server.data", Value { text: data.to_string_lossy().into_owned(), origin });
        let mut config = Self { values, endpoints: BTreeMap::new(), servers: BTreeMap::new() };
        for path in surroundings.files.iter().rev() {
            config.add_file(path)?;
        }
        config.add_variables(&surroundings.variables)?;
        for (key, text) in flags {
            config.set(key, text, Origin::Flag)?;
        }
        Ok(config)
    }

    fn add_file(&mut self, path: &Path) -> Result<(), Failed> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(problem) => return Err(bad(format!("cannot read {}: {problem}", path.display()))),
        };
        let table: toml::Table = text
            .parse()
            .map_err(|problem: toml::de::Error| bad(format!("{}: {problem}", path.display())))?;
        let origin = Origin::File(path.to_owned());
        for (section, settings) in &table {
            let Some(settings) = settings.as_table() else {
                return Err(unknown(section, &origin));
            };
            for (name, value) in settings {
                let key = format!("{section}.{name}");
                match (section.as_str(), value) {
                    ("model", toml::Value::Table(table)) => {
                        let endpoint = named(table, &key, &origin)?;
                        self.endpoints.insert(name.clone(), (endpoint, origin.clone()));
                        continue;
                    }
                    ("mcp", toml::Value::Table(table)) => {
                        self.servers.insert(name.clone(), named(table, &key, &origin)?);
                        continue;
                    }
                    _ => {}
                }
                let text = as_text(value).ok_or_else(|| {
                    bad(format!("`{key}` in {origin} is neither text, number, true or false, nor list of texts"))
                })?;
                self.set(&key, text, origin.clone())?;
            }
        }
        Ok(())
    }

    fn add_variables(&mut self, variables: &BTreeMap<String, String>) -> Result<(), Failed> {
        for (name, value) in variables {
            let Some((section, key)) =
                name.strip_prefix("REMIT_").and_then(|rest| rest.split_once("__"))
            else {
                continue;
            };
            let origin = Origin::Environment(name.clone());
            let key = format!("{section}.{key}").to_lowercase();
            let of_file = key.strip_suffix("_file").and_then(find);
            match of_file.filter(|setting| setting.kind == Kind::Secret) {
                Some(setting) => {
                    let secret = secret_file(Path::new(value), setting.key)?;
                    self.set(setting.key, secret, origin)?;
                }
                None => self.set(&key, value.clone(), origin)?,
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &str, text: String, origin: Origin) -> Result<(), Failed> {
        if let Some(setting) = key.strip_suffix("_file").and_then(find)
            && setting.kind == Kind::Secret
        {
            let text = secret_file(Path::new(&text), setting.key)?;
            self.values.insert(setting.key, Value { text, origin });
            return Ok(());
        }
        let setting = find(key).ok_or_else(|| unknown(key, &origin))?;
        check(setting, &text, &origin)?;
        self.values.insert(setting.key, Value { text, origin });
        Ok(())
    }

    /// The same with another value for one setting.
    pub(crate) fn with(&self, key: &str, text: &str) -> Result<Self, Failed> {
        let mut config = self.clone();
        config.set(key, text.to_owned(), Origin::Flag)?;
        Ok(config)
    }

    /// The value of a setting, if it has one.
    pub(crate) fn text(&self, key: &str) -> Option<&str> {
        debug_assert!(find(key).is_some(), "{key} is not a setting");
        self.values.get(key).map(|value| value.text.as_str()).filter(|text| !text.is_empty())
    }

    /// The value of a number that has a default.
    pub(crate) fn number(&self, key: &str) -> u64 {
        self.text(key).and_then(|text| text.parse().ok()).unwrap_or_default()
    }

    /// Whether a setting that is `true` or `false` is on.
    pub(crate) fn is_on(&self, key: &str) -> bool {
        self.text(key) == Some("true")
    }

    /// The model endpoints beside the first.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&String, &NamedEndpoint)> {
        self.endpoints.iter().map(|(name, (endpoint, _))| (name, endpoint))
    }

    /// The servers of tools.
    pub(crate) fn servers(&self) -> impl Iterator<Item = (&String, &NamedServer)> {
        self.servers.iter()
    }

    /// The folder that holds everything.
    pub(crate) fn data(&self) -> PathBuf {
        PathBuf::from(self.text("server.data").unwrap_or("."))
    }

    /// Every setting with its value and origin, secrets hidden.
    pub(crate) fn shown(&self) -> Vec<Row> {
        let row = |setting: &'static Setting| {
            let value = self.values.get(setting.key);
            let text = value.map(|value| match setting.kind {
                Kind::Secret => HIDDEN.to_owned(),
                _ => value.text.clone(),
            });
            let origin = value.map_or(Origin::Default, |value| value.origin.clone());
            Row { key: setting.key.to_owned(), value: text, origin, about: setting.about }
        };
        let of_endpoint = |(name, (endpoint, origin)): (&String, &(NamedEndpoint, Origin))| {
            let row = |(field, value, about): (&str, Option<String>, &'static str)| {
                let origin = if value.is_some() { origin.clone() } else { Origin::Default };
                Row { key: format!("model.{name}.{field}"), value, origin, about }
            };
            endpoint.shown().into_iter().map(row).collect::<Vec<_>>()
        };
        SETTINGS.iter().map(row).chain(self.endpoints.iter().flat_map(of_endpoint)).collect()
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.shown().into_iter().map(|row| (row.key, row.value))).finish()
    }
}

/// A table of a file that has a name of its own. Nothing of it is repeated where it is wrong.
fn named<T: serde::de::DeserializeOwned>(
    table: &toml::Table,
    key: &str,
    origin: &Origin,
) -> Result<T, Failed> {
    table.clone().try_into().map_err(|problem: toml::de::Error| {
        bad(format!("`[{key}]` in {origin}: {}", problem.message()))
    })
}

fn as_text(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(whether) => Some(whether.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

fn secret_file(path: &Path, key: &str) -> Result<String, Failed> {
    let text = std::fs::read_to_string(path)
        .map_err(|problem| bad(format!("cannot read {} for {key}: {problem}", path.display())))?;
    if text.len() > SECRET_BYTES_MAX {
        return Err(bad(format!("{} is too long for {key}", path.display())));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn check(setting: &Setting, text: &str, origin: &Origin) -> Result<(), Failed> {
    let key = setting.key;
    match setting.kind {
        Kind::Text | Kind::Secret | Kind::List => Ok(()),
        Kind::Number { min, max } => match text.parse::<u64>() {
            Ok(number) if (min..=max).contains(&number) => Ok(()),
            _ => Err(bad(format!("`{key}` is `{text}` ({origin}); it must be {min} to {max}"))),
        },
        Kind::Choice(choices) if choices.contains(&text) => Ok(()),
        Kind::Choice(choices) => {
            let choices = choices.join(", ");
            Err(bad(format!("`{key}` is `{text}` ({origin}); it must be one of {choices}")))
        }
    }
}

fn unknown(key: &str, origin: &Origin) -> Failed {
    let failed = bad(format!("there is no setting `{key}` ({origin})"));
    match nearest(key) {
        Some(near) => failed.next(format!("did you mean `{near}`?")),
        None => failed.next("remit config show lists all settings"),
    }
}

fn bad(what: String) -> Failed {
    Failed::new(Exit::Config, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        file: &str,
        variables: &[(&str, &str)],
        flags: Vec<(&'static str, String)>,
    ) -> Result<Config, Failed> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("remit.toml");
        std::fs::write(&path, file).expect("writable");
        let variables =
            variables.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        Config::load(&Surroundings { variables, files: vec![path] }, flags)
    }

    #[test]
    fn what_is_shown_says_where_each_comes_from_and_no_secret() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, "s3cret").expect("writable");
        let key = path.to_str().expect("text");
        let file = format!(
            "[limits]\npids = 9\n[model.big]\nurl = \"u\"\nname = \"n\"\nkey_file = {key:?}"
        );
        let variables = [("REMIT_MODEL__KEY_FILE", key), ("XDG_DATA_HOME", "/d")];
        let shown = load(&file, &variables, vec![]).expect("valid").shown();
        let of = |key: &str| {
            let row = shown.iter().find(|row| row.key == key).expect(key);
            (row.value.clone().unwrap_or_default(), row.origin.to_string())
        };
        let pair = |value: &str, origin: &str| (value.to_owned(), origin.to_owned());
        assert_eq!(of("model.key"), pair(HIDDEN, "environment REMIT_MODEL__KEY_FILE"));
        assert_eq!(of("server.data"), pair("/d/remit", "environment XDG_DATA_HOME"));
        assert_eq!(of("limits.turn_s"), pair("1800", "default"));
        let origin = of("limits.pids").1;
        assert!(origin.ends_with("remit.toml"), "{origin}");
        assert_eq!(of("model.big.url"), pair("u", &origin));
        assert_eq!(of("model.big.key"), pair(HIDDEN, &origin));
        assert!(!format!("{shown:?}").contains("s3cret"));
    }

    #[test]
    fn an_endpoint_of_a_file_has_prices() {
        let file = "[model.a]\nurl = \"http://a\"\nname = \"m\"\n\
            [[model.a.prices]]\nmodels = \"m-*\"\ninput = 1\ncached = 2\noutput = 3\n\
            [[model.a.prices]]\ninput = 4\noutput = 5\n";
        let config = load(file, &[], vec![]).expect("valid");
        let (_, endpoint) = config.endpoints().next().expect("one");
        let prices = endpoint.prices.iter();
        let prices = prices.map(|it| (it.models.as_str(), it.input, it.cached, it.output));
        let expected = [("m-*", 1, Some(2), 3), ("*", 4, None, 5)];
        assert_eq!(prices.collect::<Vec<_>>(), expected);
        let half = "[model.a]\nurl = \"http://a\"\nname = \"m\"\n[[model.a.prices]]\ninput = 4";
        assert!(load(half, &[], vec![]).is_err());
    }

    #[test]
    fn flags_stand_above_variables_above_files_above_defaults() {
        let file = "[server]\nlisten = \"a\"\n[limits]\nidle_s = 7\npids = 9";
        let variables = [("REMIT_SERVER__LISTEN", "b"), ("REMIT_LIMITS__IDLE_S", "8")];
        let config = load(file, &variables, vec![("server.listen", "c".into())]).expect("valid");
        assert_eq!(config.text("server.listen"), Some("c"));
        assert_eq!(config.number("limits.idle_s"), 8);
        assert_eq!(config.number("limits.pids"), 9);
        assert_eq!(config.number("limits.turn_s"), 1800);
        let origin = |key| config.values.get(key).map(|value| value.origin.to_string());
        assert_eq!(origin("server.listen").as_deref(), Some("flag"));
        assert_eq!(origin("limits.idle_s").as_deref(), Some("environment REMIT_LIMITS__IDLE_S"));
        assert_eq!(origin("limits.turn_s").as_deref(), Some("default"));
    }

    fn refused(file: &str, variables: &[(&str, &str)]) -> String {
        let failed = load(file, variables, vec![]).expect_err("refused");
        assert_eq!(failed.exit, Exit::Config);
        failed.to_string()
    }

    #[test]
    fn an_unknown_or_impossible_setting_is_an_error_that_says_more() {
        assert!(refused("[server]\nlisen = \"a\"", &[]).contains("did you mean `server.listen`?"));
        assert!(refused("x = 1", &[]).contains("there is no setting `x`"));
        assert!(refused("", &[("REMIT_MODEL__NAM", "m")]).contains("did you mean `model.name`?"));
        assert!(refused("[limits]\nturn_s = 0", &[]).contains("it must be 1 to 86400"));
        assert!(refused("[backend]\nkind = \"docker\"", &[]).contains("one of native, process"));
        assert!(refused("[backend]\nkind = 1.5", &[]).contains("neither text"));
        assert!(refused("[storage]\nencryption = 1", &[]).contains("one of true, false"));
        assert!(refused("[", &[]).contains("remit.toml"));
    }

    #[test]
    fn a_file_names_further_endpoints() {
        let folder = tempfile::tempdir().expect("a folder");
        let key = folder.path().join("key");
        std::fs::write(&key, "canary\n").expect("writable");
        let file = format!(
            "[model]\nname = \"m\"\n[model.big]\nurl = \"u\"\nname = \"n\"\nkey_file = {key:?}"
        );
        let config = load(&file, &[], vec![]).expect("valid");
        assert_eq!(config.text("model.name"), Some("m"));
        let (name, endpoint) = config.endpoints().next().expect("an endpoint");
        assert_eq!((name.as_str(), endpoint.url.as_str()), ("big", "u"));
        assert_eq!(endpoint.key(name).ok().flatten().as_deref(), Some("canary"));
        assert!(!format!("{config:?} {endpoint:?}").contains("canary"));
        assert!(refused("[model.big]\nurl = \"u\"", &[]).contains("model.big"));
        let with_key = "[model.big]\nurl = \"u\"\nname = \"n\"\nkey = \"canary\"";
        assert!(!refused(with_key, &[]).contains("canary"), "a misplaced key is not repeated");
    }

    #[test]
    fn a_file_names_servers_of_tools() {
        let file = "[mcp.tracker]\nurl = \"u\"\nreads = [\"search\"]\nuntrusted = true";
        let config = load(file, &[], vec![]).expect("valid");
        let (name, server) = config.servers().next().expect("a server");
        assert_eq!((name.as_str(), server.url.as_str()), ("tracker", "u"));
        assert!(server.untrusted && server.acts.is_empty());
        assert!(refused("[mcp.tracker]\nurl = \"u\"\ntools = []", &[]).contains("mcp.tracker"));
        assert!(refused("[mcp]\nurl = \"u\"", &[]).contains("mcp.url"));
        let with_key = "[mcp.tracker]\nurl = \"u\"\nkey = \"canary\"";
        assert!(!refused(with_key, &[]).contains("canary"), "a misplaced key is not repeated");
    }

    #[test]
    fn a_secret_comes_from_a_file_too_and_is_never_shown() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        std::fs::write(&path, "s3cret\n").expect("writable");
        let path = path.to_str().expect("text");
        let config = load("", &[("REMIT_MODEL__KEY_FILE", path)], vec![]).expect("valid");
        assert_eq!(config.text("model.key"), Some("s3cret"));
        assert!(!format!("{config:?}").contains("s3cret"));
        let config = load(&format!("[model]\nkey_file = \"{path}\""), &[], vec![]).expect("valid");
        assert_eq!(config.text("model.key"), Some("s3cret"));
        assert!(refused("", &[("REMIT_MODEL__KEY_FILE", "/nowhere/at-all")]).contains("model.key"));
    }
}
