//! Running expressions in minijinja, bounded by its fuel.

use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, LazyLock};

use flux_model::limits;
use flux_model::value::Value;
use minijinja::value::{Object, ObjectRepr, Rest, Value as Handle, ValueKind};
use minijinja::{Environment, Error, ErrorKind, Expression};

use super::error::TemplateError;
use super::functions::{self, Function, OPERATORS};
use super::lower::{filter_name, lower};
use super::parser::{Missing, Parsed, Use};
use super::path::{Path, Stop};
use super::run::Run;
use super::scope::Scope;

/// Nothing of minijinja's own is in it: no filters, tests, functions or templates.
static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_fuel(Some(limits::TEMPLATE_FUEL_MAX));
    for function in functions::all().chain(OPERATORS) {
        environment.add_filter(filter_name(function), move |args: Rest<Handle>| apply(function, &args));
    }
    environment
});

/// An expression ready to run.
pub(crate) struct Program {
    expression: Expression<'static, 'static>,
    constants: Vec<Handle>,
    paths: Vec<Use>,
    /// The roots of `paths`, each once, and which of them each path starts from.
    roots: Vec<Arc<str>>,
    root_of: Vec<usize>,
}

impl Program {
    pub(crate) fn compile(parsed: Parsed) -> Result<Arc<Self>, TemplateError> {
        let lowered = lower(&parsed.root);
        let expression = ENVIRONMENT
            .compile_expression_owned(lowered.source)
            .map_err(|error| TemplateError::syntax(format!("the expression is not valid: {error}")))?;
        let mut roots: Vec<Arc<str>> = Vec::new();
        let mut root_of = Vec::with_capacity(parsed.paths.len());
        for Use { path, .. } in &parsed.paths {
            let known = roots.iter().position(|root| *root == path.root);
            root_of.push(known.unwrap_or(roots.len()));
            if known.is_none() {
                roots.push(path.root.clone());
            }
        }
        let constants = lowered.constants.into_iter().map(handle).collect();
        Ok(Arc::new(Self { expression, constants, paths: parsed.paths, roots, root_of }))
    }

    /// Its value. Roots are asked for once each, the paths below them only when they are reached.
    pub(crate) fn evaluate(
        self: &Arc<Self>,
        scope: &dyn Scope,
        run: &Arc<Run>,
    ) -> Result<Value, TemplateError> {
        let roots: Vec<Option<Value>> = self.roots.iter().map(|root| scope.root(root)).collect();
        let known = if roots.iter().any(Option::is_none) { scope.root_names() } else { Vec::new() };
        let context = Context { program: Arc::clone(self), run: Arc::clone(run), roots, known };
        let result = self.expression.eval(Handle::from_object(context)).map_err(translate)?;
        let value = open(&result);
        let max = limits::VALUE_BYTES_MAX;
        if value.weight(max) > max {
            return Err(TemplateError::budget(format!(
                "the template gives a value of more than {max} bytes (VALUE_BYTES_MAX)"
            )));
        }
        Ok(value)
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Program").field("paths", &self.paths).finish_non_exhaustive()
    }
}

/// A value as minijinja holds it: it can be passed on and asked whether it is true, no more.
#[derive(Debug)]
struct Held(Value);

impl Object for Held {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0.is_true()
    }
}

fn handle(value: Value) -> Handle {
    Handle::from_object(Held(value))
}

/// The value in a handle. `not` is the one operation whose result is minijinja's own.
fn open(handle: &Handle) -> Value {
    match handle.downcast_object_ref::<Held>() {
        Some(held) => held.0.clone(),
        None if handle.kind() == ValueKind::Bool => Value::Bool(handle.is_true()),
        None => Value::Null,
    }
}

/// What the generated names stand for during one evaluation.
#[derive(Debug)]
struct Context {
    program: Arc<Program>,
    run: Arc<Run>,
    roots: Vec<Option<Value>>,
    /// The roots that exist, where one is missing.
    known: Vec<String>,
}

impl Object for Context {
    fn get_value(self: &Arc<Self>, key: &Handle) -> Option<Handle> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Handle> {
        let number = |from: &str| from.parse::<usize>().ok();
        match key.split_at_checked(1)? {
            ("r", "") => Some(Handle::from_dyn_object(Arc::clone(self))),
            ("k", rest) => self.program.constants.get(number(rest)?).cloned(),
            ("p", rest) => Some(match self.path(number(rest)?) {
                Ok(value) => handle(value),
                Err(error) => Handle::from(failure(error)),
            }),
            _ => None,
        }
    }
}

impl Context {
    fn path(&self, number: usize) -> Result<Value, TemplateError> {
        let Use { path, missing } = &self.program.paths[number];
        let found = match &self.roots[self.program.root_of[number]] {
            Some(root) => path.follow(root),
            None => Err(Box::new(path.unknown_root(&self.known))),
        };
        match (found, missing) {
            (Ok(value), _) => Ok(value),
            (Err(_), Missing::Foreseen) => Ok(Value::Null),
            (Err(stop), Missing::Reported) => self.run.missing(*stop),
        }
    }
}

/// Calls a function; the evaluation is always its first argument.
fn apply(function: &'static Function, args: &[Handle]) -> Result<Handle, Error> {
    let (context, args) = args.split_first().expect("calls are generated with the evaluation in front");
    let context =
        context.downcast_object_ref::<Context>().expect("calls are generated with the evaluation in front");
    let args: Vec<Value> = args.iter().map(open).collect();
    function.call(&args, &context.run).map(handle).map_err(failure)
}

fn failure(error: TemplateError) -> Error {
    Error::new(ErrorKind::InvalidOperation, "").with_source(error)
}

fn translate(error: Error) -> TemplateError {
    if let Some(own) = error.source().and_then(|source| source.downcast_ref::<TemplateError>()) {
        return own.clone();
    }
    if error.kind() == ErrorKind::OutOfFuel {
        return TemplateError::budget(format!(
            "the template takes more than {} steps (TEMPLATE_FUEL_MAX)",
            limits::TEMPLATE_FUEL_MAX
        ));
    }
    TemplateError::failed(format!("the expression failed: {error}"))
}

/// A path alone, followed without any of the above.
pub(crate) fn follow(path: &Path, scope: &dyn Scope) -> Result<Value, Box<Stop>> {
    match scope.root(&path.root) {
        Some(root) => path.follow(&root),
        None => Err(Box::new(path.unknown_root(&scope.root_names()))),
    }
}
