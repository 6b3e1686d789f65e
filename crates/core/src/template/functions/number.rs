//! Arithmetic and the number functions.
//!
//! Whole numbers stay exact as long as they fit 64 bits; what does not fit is an error, never a
//! silent wrap. A result without a fraction is a whole number: `10 / 5` is `2`.

use flux_model::value::Value;
use serde_json::Number;

use super::check::compare;
use super::{Call, Doc, Function, Manner};
use crate::template::error::TemplateError;

/// Doubles below this hold every whole number exactly: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

pub(super) const TABLE: &[Function] = &[
    Function::new(
        "number",
        "value",
        Doc("A text, number or boolean as number.", "number(\" 12.50 \")", "12.5"),
        to_number,
    ),
    Function::new(
        "int",
        "value",
        Doc("A text or number as whole number; a fraction is cut off.", "int(\"42.9\")", "42"),
        |call| round_with(call, &to_number(call)?, f64::trunc),
    ),
    Function::new(
        "round",
        "number, digits?",
        Doc("Rounded to so many digits after the point, halves away from zero.", "round(2.345, 2)", "2.35"),
        round,
    ),
    Function::new("floor", "number", Doc("The whole number below.", "floor(-2.5)", "-3"), |call| {
        round_with(call, call.value(0), f64::floor)
    }),
    Function::new("ceil", "number", Doc("The whole number above.", "ceil(2.1)", "3"), |call| {
        round_with(call, call.value(0), f64::ceil)
    }),
    Function::new("abs", "number", Doc("Without its sign.", "abs(-7)", "7"), |call| {
        match Num::read(call.value(0)) {
            Some(Num::Integer(integer)) => {
                from_integer(integer.abs()).ok_or_else(|| call.error("the result does not fit 64 bits"))
            }
            Some(Num::Double(double)) => from_double(double.abs()).map_err(|why| call.error(why)),
            None => Err(call.wrong_type(0, "a number")),
        }
    }),
    Function::new(
        "min",
        "values…",
        Doc("The smallest of the arguments, or of an array. Nulls are left out.", "min([3, 1, 2])", "1"),
        |call| extreme(call, std::cmp::Ordering::is_lt),
    )
    .treating(Manner::Total),
    Function::new(
        "max",
        "values…",
        Doc("The largest of the arguments, or of an array. Nulls are left out.", "max(3, 10)", "10"),
        |call| extreme(call, std::cmp::Ordering::is_gt),
    )
    .treating(Manner::Total),
];

/// A number in arithmetic.
#[derive(Clone, Copy)]
pub(super) enum Num {
    Integer(i128),
    Double(f64),
}

impl Num {
    pub(super) fn read(value: &Value) -> Option<Self> {
        let Value::Number(number) = value else { return None };
        number.as_i128().map(Self::Integer).or_else(|| number.as_f64().map(Self::Double))
    }

    #[expect(clippy::cast_precision_loss, reason = "a double is what mixed arithmetic gives")]
    fn double(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Double(double) => double,
        }
    }

    fn is_zero(self) -> bool {
        match self {
            Self::Integer(integer) => integer == 0,
            Self::Double(double) => double == 0.0,
        }
    }
}

/// Calculates `a sign b`; the error says why it cannot.
pub(super) fn arithmetic(sign: &str, a: Num, b: Num) -> Result<Value, &'static str> {
    if b.is_zero() && matches!(sign, "/" | "//" | "%") {
        return Err("division by zero");
    }
    if let (Num::Integer(a), Num::Integer(b)) = (a, b) {
        let exact = match sign {
            "+" => a.checked_add(b),
            "-" => a.checked_sub(b),
            "*" => a.checked_mul(b),
            "/" if a % b != 0 => return from_double(Num::Integer(a).double() / Num::Integer(b).double()),
            "/" => a.checked_div(b),
            "//" => Some(a.div_euclid(b) - i128::from(b < 0 && a.rem_euclid(b) != 0)),
            "%" => Some(a.rem_euclid(b) + if b < 0 && a.rem_euclid(b) != 0 { b } else { 0 }),
            _ if b < 0 => return from_double(Num::Integer(a).double().powf(Num::Integer(b).double())),
            _ => u32::try_from(b).ok().and_then(|b| a.checked_pow(b)),
        };
        return exact.and_then(from_integer).ok_or("the result does not fit 64 bits");
    }
    let (a, b) = (a.double(), b.double());
    from_double(match sign {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" => a / b,
        "//" => (a / b).floor(),
        "%" => a - b * (a / b).floor(),
        _ => a.powf(b),
    })
}

fn from_integer(integer: i128) -> Option<Value> {
    i64::try_from(integer).map(Value::from).or_else(|_| u64::try_from(integer).map(Value::from)).ok()
}

fn from_double(double: f64) -> Result<Value, &'static str> {
    if let Some(integer) = whole(double) {
        return Ok(Value::from(integer));
    }
    Number::from_f64(double).map(Value::Number).ok_or("the result is not a finite number")
}

/// The whole number a double is, if it is one that a double holds exactly.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within 2^53")]
pub(super) fn whole(double: f64) -> Option<i64> {
    (double.fract() == 0.0 && double.abs() <= EXACT).then_some(double as i64)
}

/// `-number`, for literals.
pub(crate) fn negative(number: &Number) -> Option<Value> {
    match number.as_i128() {
        Some(integer) => i64::try_from(-integer).ok().map(Value::from),
        None => Number::from_f64(-number.as_f64()?).map(Value::Number),
    }
}

/// A double as whole number; a whole number stays what it is, however large.
fn round_with(call: &Call<'_>, value: &Value, rounding: fn(f64) -> f64) -> Result<Value, TemplateError> {
    if let Some(Num::Integer(_)) = Num::read(value) {
        return Ok(value.clone());
    }
    let number = value.as_f64().ok_or_else(|| call.wrong_type(0, "a number"))?;
    let whole =
        whole(rounding(number)).ok_or_else(|| call.error(format!("{number} is too large to be exact")))?;
    Ok(Value::from(whole))
}

fn to_number(call: &Call<'_>) -> Result<Value, TemplateError> {
    match call.value(0) {
        Value::Number(_) => Ok(call.value(0).clone()),
        Value::Bool(flag) => Ok(Value::from(i64::from(*flag))),
        Value::Text(text) => {
            let text = text.trim();
            if let Ok(integer) = text.parse::<i64>() {
                return Ok(Value::from(integer));
            }
            let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
            let parsed = text.parse::<f64>().ok().filter(|_| plain);
            parsed.and_then(|number| from_double(number).ok()).ok_or_else(|| call.wrong_type(0, "a number"))
        }
        Value::Null | Value::Array(_) | Value::Object(_) | Value::Secret(_) => {
            Err(call.wrong_type(0, "a number or a string that holds one"))
        }
    }
}

/// Rounds the decimal digits that are written, so that 1.005 becomes 1.01 although the nearest
/// double lies below it.
fn round(call: &Call<'_>) -> Result<Value, TemplateError> {
    let digits = call.integer_or(1, 0)?;
    if !(0..=15).contains(&digits) {
        return Err(call.wrong_type(1, "between 0 and 15"));
    }
    if let Some(Num::Integer(_)) = Num::read(call.value(0)) {
        return Ok(call.value(0).clone());
    }
    let number = call.number(0)?;
    let shifted: f64 = format!("{number}e{digits}").parse().unwrap_or(number);
    let rounded: f64 = format!("{}e-{digits}", shifted.round()).parse().unwrap_or(number);
    from_double(rounded).map_err(|why| call.error(why))
}

fn extreme(call: &Call<'_>, better: fn(std::cmp::Ordering) -> bool) -> Result<Value, TemplateError> {
    let values = match call.args {
        [Value::Array(items)] => items.as_slice(),
        values => values,
    };
    call.meter().steps(values.len())?;
    let mut best = &Value::Null;
    for value in values.iter().filter(|value| !value.is_null()) {
        if best.is_null() {
            best = value;
        }
        match compare(value, best) {
            Some(order) if better(order) => best = value,
            Some(_) => {}
            None => {
                let (a, b) = (best.type_name(), value.type_name());
                return Err(call.error(format!("cannot compare {a} with {b}")));
            }
        }
    }
    Ok(best.clone())
}
