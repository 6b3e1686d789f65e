//! A whole config in which every text may be a template.
//!
//! Parts without templates are kept as they are and shared with every rendered value.

use std::sync::Arc;

use flux_model::Value;
use flux_model::value::Object;

use super::meter::check_value;
use super::scope::{Scope, Warnings};
use super::{Template, TemplateError};

/// A config value with its templates compiled.
#[derive(Debug, Clone)]
pub struct Templated {
    tree: Tree,
    templates: Vec<(String, Template)>,
}

/// `Template` holds the number of the template in `Templated::templates`.
#[derive(Debug, Clone)]
enum Tree {
    Fixed(Value),
    Template(usize),
    Array(Vec<Tree>),
    Object(Vec<(Arc<str>, Tree)>),
}

impl Templated {
    /// Compiles every text in `value`. The fields in `excluded` (dotted paths such as `values` or
    /// `rows[0].name`) are left as they are, with all they hold: rendering passes them on as
    /// written.
    ///
    /// # Errors
    /// Every template that does not compile, each with its field.
    pub fn compile(value: &Value, excluded: &[&str]) -> Result<Self, Vec<TemplateError>> {
        let mut compiler = Compiler { excluded, templates: Vec::new(), errors: Vec::new() };
        let tree = compiler.tree(value, &mut String::new());
        if compiler.errors.is_empty() {
            Ok(Self { tree, templates: compiler.templates })
        } else {
            Err(compiler.errors)
        }
    }

    /// A config without templates: it renders to `value`.
    pub fn fixed(value: Value) -> Self {
        Self { tree: Tree::Fixed(value), templates: Vec::new() }
    }

    /// The value with every template evaluated, in the order they are written.
    ///
    /// # Errors
    /// The first template that fails, with its field; `template_budget` where the whole is too large
    /// or nests too deep.
    pub fn render(&self, scope: &dyn Scope, warnings: &mut Warnings) -> Result<Value, TemplateError> {
        let value = self.render_tree(&self.tree, scope, warnings)?;
        if !self.templates.is_empty() {
            check_value(&value)?;
        }
        Ok(value)
    }

    /// The templates with the dotted paths of their fields, in the order they are written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Template)> {
        self.templates.iter().map(|(field, template)| (field.as_str(), template))
    }

    fn render_tree(
        &self,
        tree: &Tree,
        scope: &dyn Scope,
        warnings: &mut Warnings,
    ) -> Result<Value, TemplateError> {
        match tree {
            Tree::Fixed(value) => Ok(value.clone()),
            Tree::Template(number) => {
                let (field, template) = &self.templates[*number];
                let first = warnings.len();
                let result = template.evaluate(scope, warnings);
                warnings.place(first, field);
                result.map_err(|error| error.at_field(field))
            }
            Tree::Array(items) => {
                let items: Result<_, _> =
                    items.iter().map(|item| self.render_tree(item, scope, warnings)).collect();
                Ok(Value::array(items?))
            }
            Tree::Object(members) => {
                let mut object = Object::with_capacity(members.len());
                for (name, member) in members {
                    object.insert(name.clone(), self.render_tree(member, scope, warnings)?);
                }
                Ok(Value::Object(Arc::new(object)))
            }
        }
    }
}

struct Compiler<'a> {
    excluded: &'a [&'a str],
    templates: Vec<(String, Template)>,
    errors: Vec<TemplateError>,
}

impl Compiler<'_> {
    /// `field` is the path of `value`; it is the same again when this returns.
    fn tree(&mut self, value: &Value, field: &mut String) -> Tree {
        if self.excluded.contains(&field.as_str()) {
            return Tree::Fixed(value.clone());
        }
        match value {
            Value::Text(text) => self.text(text, field, value),
            Value::Array(items) => {
                let trees: Vec<Tree> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.within(field, &format!("[{index}]"), item))
                    .collect();
                if trees.iter().all(Tree::is_fixed) { Tree::Fixed(value.clone()) } else { Tree::Array(trees) }
            }
            Value::Object(members) => {
                let trees: Vec<(Arc<str>, Tree)> = members
                    .iter()
                    .map(|(name, member)| {
                        let step = if field.is_empty() { name.to_string() } else { format!(".{name}") };
                        (name.clone(), self.within(field, &step, member))
                    })
                    .collect();
                if trees.iter().all(|(_, tree)| tree.is_fixed()) {
                    Tree::Fixed(value.clone())
                } else {
                    Tree::Object(trees)
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Secret(_) => Tree::Fixed(value.clone()),
        }
    }

    fn within(&mut self, field: &mut String, step: &str, value: &Value) -> Tree {
        let length = field.len();
        field.push_str(step);
        let tree = self.tree(value, field);
        field.truncate(length);
        tree
    }

    fn text(&mut self, text: &str, field: &str, value: &Value) -> Tree {
        match Template::compile(text) {
            Ok(template) if template.is_literal() => Tree::Fixed(value.clone()),
            Ok(template) => {
                self.templates.push((field.to_owned(), template));
                Tree::Template(self.templates.len() - 1)
            }
            Err(error) => {
                self.errors.push(error.at_field(field));
                Tree::Fixed(value.clone())
            }
        }
    }
}

impl Tree {
    fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::OnMissing;
    use crate::template::test_scope::TestScope;

    const CONFIG: &str = r#"{
        "url": "https://example.com/{{ input.id }}",
        "fixed": {"deep": [1, {"text": "no template"}]},
        "rows": [{"name": "{{ input.name }}"}, "x", {"name": "{{ input.nme }}"}],
        "values": {"per_element": "{{ item.id }}"},
        "body": "{{ input }}"
    }"#;

    fn config() -> Value {
        Value::from_json(CONFIG.as_bytes()).unwrap()
    }

    #[test]
    fn every_text_is_rendered_and_the_rest_is_shared() {
        let config = config();
        let templated = Templated::compile(&config, &["values"]).unwrap();
        let fields: Vec<&str> = templated.iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["url", "rows[0].name", "rows[2].name", "body"]);

        let scope = TestScope::new(r#"{"id": 7, "name": "Ada"}"#);
        let mut warnings = Warnings::new();
        let value = templated.render(&scope, &mut warnings).unwrap();
        let expected = r#"{"url":"https://example.com/7","fixed":{"deep":[1,{"text":"no template"}]},"#
            .to_owned()
            + r#""rows":[{"name":"Ada"},"x",{"name":null}],"values":{"per_element":"{{ item.id }}"},"#
            + r#""body":{"id":7,"name":"Ada"}}"#;
        assert_eq!(value.to_json(), expected);
        let (Some(Value::Object(before)), Some(Value::Object(after))) =
            (config.get("fixed"), value.get("fixed"))
        else {
            panic!("`fixed` is an object");
        };
        assert!(Arc::ptr_eq(before, after));
        let warning = warnings.iter().next().unwrap();
        assert_eq!((warning.path.as_str(), warning.field.as_deref()), ("input.nme", Some("rows[2].name")));
    }

    #[test]
    fn errors_name_their_fields() {
        let mut scope = TestScope::new(r#"{"id": 7, "name": "Ada"}"#);
        scope.on_missing = OnMissing::Fail;
        let templated = Templated::compile(&config(), &["values"]).unwrap();
        let error = templated.render(&scope, &mut Warnings::new()).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("rows[2].name"));
        assert!(error.to_string().starts_with("rows[2].name: `input.nme` does not exist"), "{error}");

        let wrong = Value::from_json(br#"{"a": "{{ 1 + }}", "b": ["{{ ok }}", "{{"]}"#).unwrap();
        let errors = Templated::compile(&wrong, &[]).unwrap_err();
        let fields: Vec<_> = errors.iter().map(|error| error.field.as_deref()).collect();
        assert_eq!(fields, [Some("a"), Some("b[1]")]);
    }

    #[test]
    fn values_cannot_grow_without_bound_from_node_to_node() {
        let config = Value::from_json(br#"{"a": {"b": "{{ input }}"}}"#).unwrap();
        let templated = Templated::compile(&config, &[]).unwrap();
        let mut scope = TestScope::new("1");
        let mut rounds = 0;
        let error = loop {
            match templated.render(&scope, &mut Warnings::new()) {
                Ok(value) => scope.roots = Value::object([("input", value)]),
                Err(error) => break error,
            }
            rounds += 1;
        };
        assert_eq!(rounds, flux_model::limits::VALUE_DEPTH_MAX / 2);
        assert!(error.message.contains("VALUE_DEPTH_MAX"), "{error}");
    }

    #[test]
    fn a_config_without_templates_is_handed_out_as_it_is() {
        let fixed = Value::from_json(br#"{"a": [1, "b"]}"#).unwrap();
        let value =
            Templated::compile(&fixed, &[]).unwrap().render(&TestScope::new("{}"), &mut Warnings::new());
        let (Value::Object(before), Ok(Value::Object(after))) = (&fixed, value) else { panic!("objects") };
        assert!(Arc::ptr_eq(before, &after));
    }
}
