//! SQL before it is planned: one statement, and columns with a dot in their name.
//!
//! Fields of protocols are called `tls.version`, which SQL takes for a column `version` of a table `tls` unless it is in
//! double quotes. No table here is called like a protocol, so without quotes nothing else can be meant.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{Expr, Ident, visit_expressions_mut};
use datafusion::sql::sqlparser::tokenizer::Span;

use crate::error::QueryError;
use crate::schema::flows_schema;

/// The one statement that there is to be.
pub(crate) fn statement(
    sql: &str,
    error: impl Fn(&datafusion::common::DataFusionError) -> QueryError,
) -> Result<Statement, QueryError> {
    let mut statements = DFParser::parse_sql(sql).map_err(|cause| error(&cause))?;
    let Some(mut statement) = statements.pop_front() else {
        return Err(QueryError::Sql { what: "there is no question".into(), at: None });
    };
    if !statements.is_empty() {
        return Err(QueryError::Sql {
            what: "there is more than one statement; ask one at a time".into(),
            at: None,
        });
    }
    quote(&mut statement);
    Ok(statement)
}

fn quote(statement: &mut Statement) {
    match statement {
        Statement::Statement(statement) => {
            let schema = flows_schema();
            let dotted: HashSet<&str> = schema
                .fields()
                .iter()
                .map(|field| field.name().as_str())
                .filter(|name| name.contains('.'))
                .collect();
            let _ = visit_expressions_mut(&mut **statement, |expr| {
                if let Expr::CompoundIdentifier(parts) = expr
                    && let Some(column) = column(parts, &dotted)
                {
                    *expr = column;
                }
                ControlFlow::<()>::Continue(())
            });
        }
        Statement::Explain(explain) => quote(&mut explain.statement),
        _ => {}
    }
}

/// The column that the last two parts name, of the table that the part before them names.
fn column(parts: &[Ident], dotted: &HashSet<&str>) -> Option<Expr> {
    let [before @ .., protocol, field] = parts else { return None };
    if protocol.quote_style.is_some() || field.quote_style.is_some() {
        return None;
    }
    let name = format!("{}.{}", protocol.value.to_lowercase(), field.value.to_lowercase());
    if !dotted.contains(&*name) {
        return None;
    }
    let quoted = Ident { value: name, quote_style: Some('"'), span: Span::empty() };
    Some(match before {
        [] => Expr::Identifier(quoted),
        [table] => Expr::CompoundIdentifier(vec![table.clone(), quoted]),
        _ => return None,
    })
}
