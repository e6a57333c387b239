//! The store as the dashboard asks it: from the engine's batches of rows to the values of pages and of JSON.

use daylight_dashboard::{Answer, Ask, AskError, BoxFuture, Parameter, Question, Ready, ReadyParameter};
use daylight_query::arrow::array::RecordBatch;
use daylight_query::arrow::datatypes::{Field, Schema};
use daylight_query::arrow::error::ArrowError;
use daylight_query::arrow::json::writer::{JsonArray, WriterBuilder};
use daylight_query::{Engine, Parameters, QueryError, ScalarValue, questions};
use futures_util::StreamExt;
use serde_json::{Map, Value};

/// Rows that are turned into values at a time.
const PIECE_ROWS: usize = 512;
/// What an answer may take in memory, about: a row has hundreds of columns if somebody asks for all.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A store of records, behind some engine.
#[derive(Debug)]
pub(super) struct Store<E>(pub(super) E);

impl<E: Engine + 'static> Ask for Store<E> {
    fn ask<'a>(&'a self, question: &'a Question) -> BoxFuture<'a, Result<Answer, AskError>> {
        Box::pin(async move { self.answer(question).await.map_err(|error| failed(error, question)) })
    }

    fn ready(&self) -> Vec<Ready> {
        let parameter = |parameter: &questions::Parameter| ReadyParameter {
            name: parameter.name.clone(),
            help: parameter.help.clone(),
            default: parameter.default.clone(),
        };
        let ready = |question: &questions::Question| Ready {
            name: question.name.clone(),
            help: question.help.clone(),
            sql: question.sql.trim().to_owned(),
            parameters: question.parameters.iter().map(parameter).collect(),
        };
        questions::all().iter().map(ready).collect()
    }
}

impl<E: Engine> Store<E> {
    async fn answer(&self, question: &Question) -> Result<Answer, QueryError> {
        let value = |parameter: &Parameter| match parameter {
            Parameter::Text(text) => ScalarValue::Utf8View(Some(text.clone())),
            Parameter::TimeNs(ns) => ScalarValue::TimestampNanosecond(Some(*ns), Some("UTC".into())),
        };
        let parameters: Parameters =
            question.parameters.iter().map(|(name, parameter)| (name.clone(), value(parameter))).collect();
        let mut found = self.0.query(&question.sql, &parameters).await?;
        let mut answer = Answer {
            columns: found.schema.fields().iter().map(|field| field.name().clone()).collect(),
            warnings: found.warnings,
            ..Answer::default()
        };
        let mut room = ANSWER_BYTES_MAX;
        while let Some(batch) = found.rows.next().await {
            let batch = batch?;
            let mut at = 0;
            while at < batch.num_rows() {
                let left = question.limits.rows.saturating_sub(answer.rows.len());
                if left == 0 || room == 0 {
                    answer.truncated = true;
                    return Ok(answer);
                }
                let rows = (batch.num_rows() - at).min(left).min(PIECE_ROWS);
                let taken = add(&batch.slice(at, rows), &mut answer.rows)
                    .map_err(|error| QueryError::Engine(format!("this can't be shown: {error}")))?;
                room = room.saturating_sub(taken);
                at += rows;
            }
            // The thread is also others'.
            tokio::task::yield_now().await;
        }
        Ok(answer)
    }
}

/// Whose fault it was, as the page tells it.
fn failed(error: QueryError, question: &Question) -> AskError {
    let message = error.to_string();
    match error {
        QueryError::Sql { .. }
        | QueryError::NotReadOnly(_)
        | QueryError::Question(_)
        | QueryError::Memory { .. } => AskError::Question(message),
        // A division by zero, a text that is no number: of SQL that a person wrote, that is the first to be suspected.
        QueryError::Engine(_) if question.name == "query" => AskError::Question(message),
        _ => AskError::Store(message),
    }
}

/// Adds rows, and says how many bytes they take, about.
fn add(batch: &RecordBatch, rows: &mut Vec<Vec<Value>>) -> Result<usize, ArrowError> {
    let width = batch.num_columns();
    if width == 0 {
        rows.extend((0..batch.num_rows()).map(|_| Vec::new()));
        return Ok(0);
    }
    // By their numbers: of columns, two may have the same name.
    let numbered =
        |(i, field): (usize, &std::sync::Arc<Field>)| field.as_ref().clone().with_name(i.to_string());
    let fields: Vec<Field> = batch.schema().fields().iter().enumerate().map(numbered).collect();
    let batch = RecordBatch::try_new(std::sync::Arc::new(Schema::new(fields)), batch.columns().to_vec())?;
    let mut writer = WriterBuilder::new().with_explicit_nulls(false).build::<_, JsonArray>(Vec::new());
    writer.write(&batch)?;
    writer.finish()?;
    let json = writer.into_inner();
    let found: Vec<Map<String, Value>> =
        serde_json::from_slice(&json).map_err(|error| ArrowError::JsonError(error.to_string()))?;
    let names: Vec<String> = (0..width).map(|i| i.to_string()).collect();
    rows.extend(found.into_iter().map(|mut row| {
        names.iter().map(|name| row.remove(name).unwrap_or_default()).collect::<Vec<Value>>()
    }));
    Ok(json.len() + batch.num_rows() * width * size_of::<Value>())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use daylight_query::arrow::array::{
        ArrayRef, BinaryArray, BooleanArray, Float64Array, ListArray, StringArray, TimestampNanosecondArray,
        UInt64Array,
    };
    use daylight_query::arrow::datatypes::UInt64Type;
    use serde_json::json;

    use super::*;

    #[test]
    fn values() {
        let column = |name: &str, array: ArrayRef| (name.to_owned(), array);
        let lists = ListArray::from_iter_primitive::<UInt64Type, _, _>([Some(vec![Some(1), None]), None]);
        let batch = RecordBatch::try_from_iter_with_nullable(
            [
                column("text", Arc::new(StringArray::from(vec![Some("a\"<\u{1b}"), None]))),
                column("large", Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(0)]))),
                column("share", Arc::new(Float64Array::from(vec![Some(0.5), Some(f64::NAN)]))),
                column("true", Arc::new(BooleanArray::from(vec![Some(true), None]))),
                column("bytes", Arc::new(BinaryArray::from(vec![Some(&b"\x00\xff"[..]), None]))),
                column("list", Arc::new(lists)),
                column(
                    "time",
                    Arc::new(
                        TimestampNanosecondArray::from(vec![Some(1_795_000_000_123_000_000), None])
                            .with_timezone("UTC"),
                    ),
                ),
            ]
            .map(|(name, array)| (name, array, true)),
        )
        .unwrap();
        let mut rows = Vec::new();
        add(&batch, &mut rows).unwrap();
        let time = "2026-11-18T11:06:40.123Z";
        assert_eq!(
            rows[0],
            [
                json!("a\"<\u{1b}"),
                json!(u64::MAX),
                json!(0.5),
                json!(true),
                json!("00ff"),
                json!([1, null]),
                json!(time)
            ]
        );
        assert_eq!(
            rows[1],
            [json!(null), json!(0), json!(null), json!(null), json!(null), json!(null), json!(null)]
        );
    }

    #[test]
    fn names_that_are_the_same_stay_apart() {
        let field = || Field::new("n", daylight_query::arrow::datatypes::DataType::UInt64, true);
        let array = |n: u64| -> ArrayRef { Arc::new(UInt64Array::from(vec![n])) };
        let schema = Arc::new(Schema::new(vec![field(), field()]));
        let batch = RecordBatch::try_new(schema, vec![array(1), array(2)]).unwrap();
        let mut rows = Vec::new();
        add(&batch, &mut rows).unwrap();
        assert_eq!(rows, [[json!(1), json!(2)]]);
    }
}
