//! Conditions of lists as SQL: what a `WHERE` asks, with its parameters.
//!
//! A text without a value passes no condition on texts, as in SQL itself. Texts are compared by their bytes: the
//! columns are `COLLATE "C"`; where case does not matter, the database's own locale says what is a letter.

use super::sql::can_be_stored;
use crate::domain::customer::query::FieldFilter;
use crate::domain::metering::query::{Pattern, TextFilter};
use postgres_types::ToSql;

/// Grows condition by condition; all of them must hold.
pub struct Conditions {
    sql: String,
    parameters: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Conditions {
    /// `base` holds parameters of its own, the first of the statement.
    pub fn new(base: &str, parameters: Vec<Box<dyn ToSql + Sync + Send>>) -> Self {
        Self { sql: base.to_string(), parameters }
    }

    pub fn sql(&self) -> &str {
        &self.sql
    }

    pub fn parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.parameters.iter().map(|parameter| parameter.as_ref() as &(dyn ToSql + Sync)).collect()
    }

    /// A fixed condition.
    pub fn and(&mut self, sql: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(sql);
    }

    /// On a column of the row.
    pub fn and_column(&mut self, column: &str, filters: &[FieldFilter]) {
        for filter in filters {
            match filter {
                FieldFilter::Exists(true) => self.and(&format!("{column} IS NOT NULL")),
                FieldFilter::Exists(false) => self.and(&format!("{column} IS NULL")),
                FieldFilter::Text(filter) => {
                    let sql = self.text(column, filter);
                    self.and(&sql);
                }
            }
        }
    }

    /// On rows that belong to this one: `rows` is their `FROM … WHERE …`. One of them must pass all that is asked of a
    /// text.
    pub fn and_some(&mut self, rows: &str, column: &str, filters: &[FieldFilter]) {
        let mut asked: Option<String> = None;
        for filter in filters {
            match filter {
                FieldFilter::Exists(true) => self.and(&format!("EXISTS (SELECT {rows})")),
                FieldFilter::Exists(false) => self.and(&format!("NOT EXISTS (SELECT {rows})")),
                FieldFilter::Text(filter) => {
                    let sql = self.text(column, filter);
                    asked = Some(asked.map_or(sql.clone(), |before| format!("{before} AND {sql}")));
                }
            }
        }
        if let Some(asked) = asked {
            self.and(&format!("EXISTS (SELECT {rows} AND {asked})"));
        }
    }

    fn text(&mut self, column: &str, filter: &TextFilter) -> String {
        match filter {
            TextFilter::In(values) => format!("{column} = ANY({})", self.texts(values)),
            TextFilter::NotIn(values) => {
                format!("({column} IS NOT NULL AND {column} <> ALL({}))", self.texts(values))
            }
            TextFilter::Like(pattern) => self.like(column, pattern, false),
            TextFilter::NotLike(pattern) => self.like(column, pattern, true),
            TextFilter::Above { bound, inclusive } => self.compared(column, [">", ">="], bound, *inclusive),
            TextFilter::Below { bound, inclusive } => self.compared(column, ["<", "<="], bound, *inclusive),
            // Of no conditions all hold, and none holds.
            TextFilter::And(all) if all.is_empty() => format!("{column} IS NOT NULL"),
            TextFilter::Or(any) if any.is_empty() => "false".to_string(),
            TextFilter::And(all) => self.joined(column, all, " AND "),
            TextFilter::Or(any) => self.joined(column, any, " OR "),
        }
    }

    fn like(&mut self, column: &str, pattern: &Pattern, negated: bool) -> String {
        let text = pattern.sql();
        if !can_be_stored(&text) {
            return if negated { format!("{column} IS NOT NULL") } else { "false".to_string() };
        }
        let not = if negated { " NOT" } else { "" };
        let parameter = self.push(text);
        match pattern.ignores_case() {
            true => format!("{column} COLLATE \"default\"{not} ILIKE {parameter}"),
            false => format!("{column}{not} LIKE {parameter}"),
        }
    }

    /// A stored text is below one with a NUL exactly when it is not above what stands before the NUL.
    fn compared(&mut self, column: &str, operators: [&str; 2], bound: &str, inclusive: bool) -> String {
        let (bound, or_equal) = match bound.split_once('\0') {
            Some((before, _)) => (before, operators[0] == "<"),
            None => (bound, inclusive),
        };
        format!("{column} {} {}", operators[usize::from(or_equal)], self.push(bound.to_string()))
    }

    fn joined(&mut self, column: &str, filters: &[TextFilter], by: &str) -> String {
        let parts: Vec<String> = filters.iter().map(|filter| self.text(column, filter)).collect();
        format!("({})", parts.join(by))
    }

    fn texts(&mut self, values: &[String]) -> String {
        let values: Vec<String> = values.iter().filter(|value| can_be_stored(value)).cloned().collect();
        self.push(values)
    }

    /// A parameter, by its name in the statement.
    fn push(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.parameters.push(Box::new(value));
        format!("${}", self.parameters.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sql;
    use crate::store::tests::{attached, settings};
    use proptest::prelude::*;

    /// Short texts over few letters, so that many agree.
    fn text() -> impl Strategy<Value = String> {
        "[abAé%_\\\\ ]{0,4}"
    }

    /// Now and then with a NUL, which no stored text has.
    fn asked_text() -> impl Strategy<Value = String> {
        "[abAé%_\\\\ ]{0,3}\0?[ab]?"
    }

    fn filter() -> impl Strategy<Value = TextFilter> {
        let pattern = || (asked_text(), any::<bool>()).prop_map(|(text, fold)| Pattern::new(&text, fold));
        let leaf = prop_oneof![
            prop::collection::vec(asked_text(), 0..3).prop_map(TextFilter::In),
            prop::collection::vec(asked_text(), 0..3).prop_map(TextFilter::NotIn),
            pattern().prop_map(TextFilter::Like),
            pattern().prop_map(TextFilter::NotLike),
            (asked_text(), any::<bool>()).prop_map(|(bound, inclusive)| TextFilter::Above { bound, inclusive }),
            (asked_text(), any::<bool>()).prop_map(|(bound, inclusive)| TextFilter::Below { bound, inclusive }),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            let some = || prop::collection::vec(inner.clone(), 0..3);
            prop_oneof![some().prop_map(TextFilter::And), some().prop_map(TextFilter::Or)]
        })
    }

    const ROWS: &str = "SELECT v FROM (SELECT v COLLATE \"C\" AS v, at \
        FROM unnest($1::text[] || NULL::text) WITH ORDINALITY AS t (v, at)) AS t WHERE";

    #[test]
    fn postgresql_accepts_what_the_domain_accepts() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let database = attached(&settings());
        let client = runtime.block_on(database.client()).unwrap();
        proptest!(|(texts in prop::collection::vec(text(), 1..8), filter in filter())| {
            let mut conditions = Conditions::new("true", vec![Box::new(texts.clone())]);
            conditions.and_column("v", &[FieldFilter::Text(filter.clone())]);
            let rows = format!("{ROWS} {} ORDER BY at", conditions.sql());
            let parameters = conditions.parameters();
            let rows = runtime.block_on(sql::rows_once(&client, &rows, &parameters)).unwrap();
            let passed: Vec<Option<String>> = rows.iter().map(|row| row.get(0)).collect();
            let expected: Vec<Option<String>> =
                texts.into_iter().filter(|text| filter.accepts(text)).map(Some).collect();
            prop_assert_eq!(passed, expected);
        });
    }
}
