//! How types of the model appear in the OpenAPI document: by name, with the JSON Schema that the
//! model derives for itself.
//!
//! The model knows `schemars` and the endpoints know `utoipa`; both speak JSON Schema 2020-12, so
//! the schemas are handed over as JSON.

use schemars::Schema as ModelSchema;
use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType};
use utoipa::openapi::{Components, Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// Names model types in the document. Each unit struct stands for the model type of its name.
macro_rules! of_model {
    ($($(#[$doc:meta])* $name:ident = $model:ty;)*) => {
        $(
            $(#[$doc])*
            pub(crate) struct $name;

            impl PartialSchema for $name {
                fn schema() -> RefOr<Schema> {
                    Ref::from_schema_name(stringify!($name)).into()
                }
            }

            impl ToSchema for $name {
                fn name() -> std::borrow::Cow<'static, str> {
                    stringify!($name).into()
                }
            }
        )*

        /// Every model type of the document, with everything those refer to.
        fn generate(generator: &mut schemars::SchemaGenerator) {
            $(generator.subschema_for::<$model>();)*
        }
    };
}

of_model! {
    /// A flow file.
    Flow = flux_model::Flow;
    /// A finding about a flow.
    Diagnostic = flux_model::Diagnostic;
    /// A stable error code.
    ErrorCode = flux_model::ErrorCode;
    /// Where an execution stands.
    ExecutionStatus = flux_model::ExecutionStatus;
    /// What ran.
    ExecutionKind = flux_model::ExecutionKind;
    /// What a reviewer can do.
    ReviewAction = flux_model::review::ReviewAction;
    /// Where a review stands.
    ReviewStatus = flux_model::review::ReviewStatus;
    /// Why a person is asked.
    ReviewReason = flux_model::review::ReviewReason;
    /// The id of an execution.
    ExecutionId = flux_model::ExecutionId;
    /// The id of a review.
    ReviewId = flux_model::ReviewId;
    /// The id of an API key.
    KeyId = flux_model::KeyId;
    /// Where in an execution something happened.
    NodePath = flux_model::NodePath;
    /// A method that a function answers to.
    Method = flux_triggers::route::Method;
    /// Who may call a function.
    Auth = flux_triggers::function::Auth;
    /// When the caller of a function is answered.
    AnswerWhen = flux_triggers::function::AnswerWhen;
}

/// Puts the schemas of the model into the document.
pub(crate) fn add_model(components: &mut Components) {
    for (name, definition) in definitions() {
        let schema = if definition == ANYTHING {
            Schema::Object(ObjectBuilder::new().schema_type(SchemaType::AnyValue).build()).into()
        } else {
            serde_json::from_value(definition).expect("both sides speak JSON Schema 2020-12")
        };
        components.schemas.insert(name, schema);
    }
}

const ANYTHING: serde_json::Value = serde_json::Value::Bool(true);

/// The schemas of the model, by name, as the document can hold them.
fn definitions() -> impl Iterator<Item = (String, serde_json::Value)> {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generate(&mut generator);
    generator.take_definitions(true).into_iter().map(|(name, definition)| {
        let mut definition: ModelSchema =
            definition.try_into().expect("definitions of the generator are schemas");
        ConstAsEnum.transform(&mut definition);
        (name, definition.to_value())
    })
}

/// A fixed value, written as the only one of an enumeration: the document's types know no `const`.
struct ConstAsEnum;

impl Transform for ConstAsEnum {
    fn transform(&mut self, schema: &mut ModelSchema) {
        if let Some(value) = schema.remove("const") {
            schema.insert("enum".to_owned(), serde_json::Value::Array(vec![value]));
        }
        transform_subschemas(self, schema);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_models_schemas_is_lost() {
        let mut components = Components::new();
        add_model(&mut components);
        for (name, definition) in definitions().filter(|(_, definition)| *definition != ANYTHING) {
            assert_eq!(serde_json::to_value(&components.schemas[&name]).unwrap(), definition, "{name}");
        }
        assert_eq!(serde_json::to_value(&components.schemas["Value"]).unwrap(), serde_json::json!({}));
    }
}
