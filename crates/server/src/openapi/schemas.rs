//! The types that are sent and told, each under its name and in the form that serde reads or writes.

use schemars::JsonSchema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value};

/// Every type that was named so far.
pub(crate) struct Schemas {
    /// As serde reads them.
    sent: SchemaGenerator,
    /// As serde writes them.
    told: SchemaGenerator,
}

impl Default for Schemas {
    fn default() -> Self {
        let settings = SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        });
        Self {
            sent: settings.clone().for_deserialize().into_generator(),
            told: settings.for_serialize().into_generator(),
        }
    }
}

impl Schemas {
    /// What a caller sends, by its name where it has one.
    pub(crate) fn sent<T: JsonSchema>(&mut self) -> Value {
        self.sent.subschema_for::<T>().to_value()
    }

    /// The same in full, for what is taken apart.
    pub(crate) fn sent_in_full<T: JsonSchema>(&mut self) -> Value {
        T::json_schema(&mut self.sent).to_value()
    }

    /// What a caller is told, by its name where it has one.
    pub(crate) fn told<T: JsonSchema>(&mut self) -> Value {
        self.told.subschema_for::<T>().to_value()
    }

    /// All that have a name, and the names of those that are read in another form than they are written.
    pub(super) fn components(mut self) -> (Map<String, Value>, Vec<String>) {
        let mut all = self.told.take_definitions(true);
        let mut two_forms = vec![];
        for (name, schema) in self.sent.take_definitions(true) {
            if all.get(&name).is_some_and(|told| *told != schema) {
                two_forms.push(name);
            } else {
                all.insert(name, schema);
            }
        }
        (all, two_forms)
    }
}
