//! Functions for addresses, names and numbers.

mod domains;
mod networks;

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, Float64Array, StringViewArray, StringViewBuilder};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::cast::{as_float64_array, as_string_view_array};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
use datafusion::prelude::SessionContext;

/// How a function is called, and a line about it.
pub const FUNCTIONS: &[(&str, &str)] = &[
    (
        "in_prefix(ip, '10.0.0.0/8')",
        "True if the address is in that network; several are separated by commas",
    ),
    ("prefix(ip, 24)", "The network of so many bits that the address is in: 192.0.2.0/24"),
    (
        "registrable_domain(hostname)",
        "The part of a name that somebody registered: example.co.uk of www.example.co.uk",
    ),
    ("domain_within(hostname, 'example.org')", "True if the name is that domain's, or within it"),
    ("bytes_text(bytes)", "A number of bytes for people: 1.2 GB"),
];

/// Makes them known.
pub(crate) fn register(context: &SessionContext) {
    let text = DataType::Utf8View;
    let add = |name: &str, types: Vec<DataType>, returns: DataType, call: Call| {
        let fun = move |arguments: &[ColumnarValue]| {
            let scalar = arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
            let arrays = ColumnarValue::values_to_arrays(arguments)?;
            let result = call(&arrays)?;
            if scalar {
                return datafusion::common::ScalarValue::try_from_array(&result, 0)
                    .map(ColumnarValue::Scalar);
            }
            Ok(ColumnarValue::Array(result))
        };
        context.register_udf(create_udf(name, types, returns, Volatility::Immutable, Arc::new(fun)));
    };
    add("in_prefix", vec![text.clone(), text.clone()], DataType::Boolean, networks::in_prefix);
    add("prefix", vec![text.clone(), DataType::Int64], text.clone(), networks::prefix);
    add("registrable_domain", vec![text.clone()], text.clone(), domains::registrable_domain);
    add("domain_within", vec![text.clone(), text.clone()], DataType::Boolean, domains::domain_within);
    add("bytes_text", vec![DataType::Float64], text, bytes_text);
}

type Call = fn(&[ArrayRef]) -> Result<ArrayRef>;

/// The argument of this number, which is text.
fn texts(arguments: &[ArrayRef], at: usize) -> Result<&StringViewArray> {
    as_string_view_array(argument(arguments, at)?)
}

fn argument(arguments: &[ArrayRef], at: usize) -> Result<&ArrayRef> {
    arguments.get(at).ok_or_else(|| DataFusionError::Execution(format!("argument {} is missing", at + 1)))
}

/// A text of each text; null of null.
fn mapped(from: &StringViewArray, map: impl Fn(&str) -> Option<String>) -> ArrayRef {
    let mut out = StringViewBuilder::with_capacity(from.len());
    for text in from {
        out.append_option(text.and_then(&map));
    }
    Arc::new(out.finish())
}

fn bytes_text(arguments: &[ArrayRef]) -> Result<ArrayRef> {
    let numbers: &Float64Array = as_float64_array(argument(arguments, 0)?)?;
    let mut out = StringViewBuilder::with_capacity(numbers.len());
    for number in numbers {
        out.append_option(number.map(bytes));
    }
    Ok(Arc::new(out.finish()))
}

/// In powers of 1000.
fn bytes(mut number: f64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut unit = 0;
    while number.abs() >= 999.5 && unit + 1 < UNITS.len() {
        number /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || number.abs() >= 99.95 { 0 } else { 1 };
    format!("{number:.digits$} {}", UNITS.get(unit).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_bytes() {
        for (number, text) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1500.0, "1.5 kB"),
            (999_960.0, "1.0 MB"),
            (1.23e14, "123 TB"),
            (-2e6, "-2.0 MB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }
}
