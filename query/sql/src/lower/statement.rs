//! Statements: the allow-list, and one refusal with a name for everything else.

use std::fmt::{self, Write as _};

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::Lowering;
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::Ident,
    parse::{Explained, Kind, Statement, TableName},
};

impl Lowering {
    /// A statement of the allow-list.
    pub(crate) fn statement(&mut self, statement: &ast::Statement) -> Result<Kind, SqlError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "an allow-list: each other statement, of today or tomorrow, is refused"
        )]
        match statement {
            ast::Statement::Query(query) => Ok(Kind::Query(self.query(query)?)),
            ast::Statement::Insert(insert) => self.insert(insert),
            ast::Statement::CreateTable(create) => self.create_table(create),
            ast::Statement::CreateView(create) => self.create_view(create),
            ast::Statement::Drop { .. } => self.drop_view(statement),
            ast::Statement::Update(update) => self.update(update),
            ast::Statement::Delete(delete) => self.delete(delete),
            ast::Statement::Merge(merge) => self.merge(merge),
            ast::Statement::Explain {
                describe_alias,
                analyze,
                verbose,
                query_plan,
                estimate,
                statement,
                format,
                options,
            } => {
                self.explain_word(*describe_alias)?;
                self.absent(*analyze, "EXPLAIN ANALYZE")?;
                self.absent(*verbose, "EXPLAIN VERBOSE")?;
                self.absent(*query_plan, "EXPLAIN QUERY PLAN")?;
                self.absent(*estimate, "EXPLAIN ESTIMATE")?;
                self.absent(format.is_some(), "EXPLAIN FORMAT")?;
                self.absent(options.is_some(), "EXPLAIN with options")?;
                self.explained(statement, Explained::Statement)
            }
            ast::Statement::ShowTables {
                terse,
                history,
                extended,
                full,
                external,
                show_options,
            } => {
                let flags = *terse || *history || *extended || *full || *external;
                let ast::ShowStatementOptions {
                    show_in,
                    starts_with,
                    limit,
                    limit_from,
                    filter_position,
                } = show_options;
                let options = show_in.is_some()
                    || starts_with.is_some()
                    || limit.is_some()
                    || limit_from.is_some()
                    || filter_position.is_some();
                self.absent(flags || options, "SHOW TABLES with options")?;
                Ok(Kind::ShowTables)
            }
            other => Err(self.refuse(format!("the statement {}", word(other)), other.span())),
        }
    }

    fn explain_word(&mut self, word: ast::DescribeAlias) -> Result<(), SqlError> {
        match word {
            ast::DescribeAlias::Explain => Ok(()),
            ast::DescribeAlias::Describe | ast::DescribeAlias::Desc => {
                Err(self.refuse("DESCRIBE", Span::empty()))
            }
        }
    }

    /// The table that a statement writes: always all three parts.
    pub(super) fn target(&mut self, name: &ast::ObjectName) -> Result<TableName, SqlError> {
        let parts = self.table_name(name)?;
        let position = parts.first().map_or(self.here, |part| part.position);
        if parts.len() == 3 {
            return Ok(TableName { parts, position });
        }
        Err(SqlError::new(
            SqlErrorKind::Invalid,
            "the name of a table to be written needs three parts",
            position,
        )
        .with_hint("write depot.collection.table"))
    }

    fn insert(&mut self, insert: &ast::Insert) -> Result<Kind, SqlError> {
        let ast::Insert {
            insert_token,
            optimizer_hints,
            or,
            ignore,
            into,
            table,
            table_alias,
            columns,
            overwrite,
            source,
            assignments,
            partitioned,
            after_columns,
            has_table_keyword,
            on,
            returning,
            output,
            replace_into,
            priority,
            insert_alias,
            settings,
            format_clause,
            multi_table_insert_type,
            multi_table_into_clauses,
            multi_table_when_clauses,
            multi_table_else_clause,
        } = insert;
        self.at(insert_token.0.span);
        self.absent(!optimizer_hints.is_empty(), "an optimizer hint")?;
        self.absent(or.is_some(), "INSERT OR ..")?;
        self.absent(*ignore, "INSERT IGNORE")?;
        self.absent(!*into, "INSERT without INTO")?;
        self.absent(table_alias.is_some(), "an alias of the target")?;
        self.absent(*overwrite, "INSERT OVERWRITE")?;
        self.absent(!assignments.is_empty(), "INSERT .. SET")?;
        self.absent(
            partitioned.is_some() || !after_columns.is_empty(),
            "PARTITION",
        )?;
        self.absent(*has_table_keyword, "INSERT INTO TABLE")?;
        // Tables here have no keys that rows could conflict in.
        self.absent(on.is_some(), "ON CONFLICT")?;
        self.absent(output.is_some(), "OUTPUT")?;
        self.absent(*replace_into, "REPLACE INTO")?;
        self.absent(priority.is_some(), "a priority of INSERT")?;
        self.absent(insert_alias.is_some(), "an alias of the inserted row")?;
        self.absent(
            settings.is_some() || format_clause.is_some(),
            "SETTINGS or FORMAT",
        )?;
        let has_clauses =
            !multi_table_into_clauses.is_empty() || !multi_table_when_clauses.is_empty();
        let is_multi_table = multi_table_insert_type.is_some() || multi_table_else_clause.is_some();
        self.absent(has_clauses || is_multi_table, "INSERT into several tables")?;
        let target = self.insert_target(table)?;
        let columns = self.list(columns, |this, name| this.single(name))?;
        let Some(source) = source else {
            return Err(self.refuse("INSERT without a query or VALUES", Span::empty()));
        };
        let query = self.query(source)?;
        let returning = self.optional(returning.as_ref(), |this, items| {
            this.inserted(items, &target)
        })?;
        Ok(Kind::Insert {
            target,
            columns,
            query,
            returning,
        })
    }

    /// RETURNING of INSERT, whose tables are not among those that the rows come from.
    fn inserted(
        &mut self,
        items: &[ast::SelectItem],
        target: &TableName,
    ) -> Result<Box<Statement>, SqlError> {
        let read = std::mem::take(&mut self.tables);
        let written = self.named(target.parts.clone(), None)?;
        let returning = self.returning(items, written);
        self.tables = read;
        returning
    }

    fn insert_target(&mut self, table: &ast::TableObject) -> Result<TableName, SqlError> {
        match table {
            ast::TableObject::TableName(name) => self.target(name),
            ast::TableObject::TableFunction(function) => {
                Err(self.refuse("a table function as target", function.span()))
            }
            ast::TableObject::TableQuery(query) => {
                Err(self.refuse("a query as target", query.span()))
            }
        }
    }

    /// A name of one part.
    pub(super) fn single(&mut self, name: &ast::ObjectName) -> Result<Ident, SqlError> {
        let mut parts = self.name(name)?;
        match (parts.pop(), parts.is_empty()) {
            (Some(part), true) => Ok(part),
            _ => Err(self.refuse("a dotted name here", name.span())),
        }
    }

    #[expect(
        clippy::too_many_lines,
        reason = "one line per field that must be absent"
    )]
    fn create_table(&mut self, create: &ast::CreateTable) -> Result<Kind, SqlError> {
        let ast::CreateTable {
            or_replace,
            temporary,
            external,
            dynamic,
            global,
            if_not_exists,
            transient,
            volatile,
            iceberg,
            snapshot,
            name,
            columns,
            constraints,
            hive_distribution,
            hive_formats,
            table_options,
            file_format,
            location,
            query,
            without_rowid,
            like,
            clone,
            version,
            comment,
            on_commit,
            on_cluster,
            primary_key,
            order_by,
            partition_by,
            cluster_by,
            clustered_by,
            inherits,
            partition_of,
            for_values,
            strict,
            copy_grants,
            enable_schema_evolution,
            change_tracking,
            data_retention_time_in_days,
            max_data_extension_time_in_days,
            default_ddl_collation,
            with_aggregation_policy,
            with_row_access_policy,
            with_storage_lifecycle_policy,
            with_tags,
            external_volume,
            base_location,
            catalog,
            catalog_sync,
            storage_serialization_policy,
            target_lag,
            warehouse,
            refresh_mode,
            initialize,
            require_user,
            diststyle,
            distkey,
            sortkey,
            backup,
        } = create;
        self.at(name.span());
        let kind = *temporary || *external || *dynamic || *transient || *volatile || *iceberg;
        self.absent(
            kind || *snapshot || global.is_some(),
            "a special kind of table",
        )?;
        self.absent(*or_replace, "OR REPLACE")?;
        self.absent(*if_not_exists, "IF NOT EXISTS")?;
        self.absent(
            !columns.is_empty() || !constraints.is_empty(),
            "a list of columns here",
        )?;
        self.absent(
            like.is_some() || clone.is_some() || version.is_some(),
            "LIKE or CLONE",
        )?;
        self.absent(
            inherits.is_some() || partition_of.is_some(),
            "INHERITS or PARTITION OF",
        )?;
        self.absent(
            location.is_some() || file_format.is_some(),
            "LOCATION or STORED AS",
        )?;
        let is_plain = matches!(hive_distribution, ast::HiveDistributionStyle::NONE)
            && matches!(table_options, ast::CreateTableOptions::None)
            && hive_formats.as_ref().is_none_or(is_empty_format)
            && for_values.is_none()
            && comment.is_none()
            && on_commit.is_none()
            && on_cluster.is_none()
            && primary_key.is_none()
            && order_by.is_none()
            && partition_by.is_none()
            && cluster_by.is_none()
            && clustered_by.is_none()
            && enable_schema_evolution.is_none()
            && change_tracking.is_none()
            && data_retention_time_in_days.is_none()
            && max_data_extension_time_in_days.is_none()
            && default_ddl_collation.is_none()
            && with_aggregation_policy.is_none()
            && with_row_access_policy.is_none()
            && with_storage_lifecycle_policy.is_none()
            && with_tags.is_none()
            && external_volume.is_none()
            && base_location.is_none()
            && catalog.is_none()
            && catalog_sync.is_none()
            && storage_serialization_policy.is_none()
            && target_lag.is_none()
            && warehouse.is_none()
            && refresh_mode.is_none()
            && initialize.is_none()
            && diststyle.is_none()
            && distkey.is_none()
            && sortkey.is_none()
            && backup.is_none();
        let flags = *without_rowid || *strict || *copy_grants || *require_user;
        self.absent(!is_plain || flags, "CREATE TABLE with options")?;
        let target = self.target(name)?;
        match query {
            Some(query) => Ok(Kind::CreateTableAs {
                target,
                query: self.query(query)?,
            }),
            None => Err(self
                .refuse("CREATE TABLE without AS", Span::empty())
                .with_hint("write CREATE TABLE depot.collection.table AS SELECT ..")),
        }
    }

    /// A query or a write that is explained.
    pub(crate) fn explained(
        &mut self,
        statement: &ast::Statement,
        explained: Explained,
    ) -> Result<Kind, SqlError> {
        match (self.statement(statement)?, explained) {
            (Kind::Query(query), Explained::Policy) => Ok(Kind::ExplainPolicy(query)),
            (Kind::Query(query), Explained::Statement) => Ok(Kind::Explain(query)),
            (kind @ (Kind::CreateTableAs { .. } | Kind::Insert { .. } | Kind::Change(_)), _) => {
                let tables = std::mem::take(&mut self.tables);
                let write = Box::new(Statement { kind, tables });
                Ok(Kind::ExplainWrite(write, explained))
            }
            (
                Kind::CreateView { .. }
                | Kind::DropView { .. }
                | Kind::Explain(_)
                | Kind::ExplainPolicy(_)
                | Kind::ExplainWrite(..)
                | Kind::ShowTables,
                _,
            ) => {
                let what = match explained {
                    Explained::Statement => "EXPLAIN",
                    Explained::Policy => "EXPLAIN POLICY",
                };
                Err(self.refuse(format!("{what} {}", word(statement)), statement.span()))
            }
        }
    }
}

/// The parser makes a format without content for each CREATE TABLE of some dialects.
fn is_empty_format(format: &ast::HiveFormat) -> bool {
    let ast::HiveFormat {
        row_format,
        serde_properties,
        storage,
        location,
    } = format;
    row_format.is_none() && serde_properties.is_none() && storage.is_none() && location.is_none()
}

/// The kind of a statement in words, for the message; no name or literal of the caller's.
pub(super) fn word(statement: &ast::Statement) -> String {
    let mut words = Words(String::new());
    // The writer stops the printing behind the variant's name, which is an error to the printer.
    let _stopped = write!(words, "{statement:?}");
    words.0
}

/// Writes the leading name of a debug form as words in capitals: `CreateView(..)` is CREATE VIEW.
struct Words(String);

impl fmt::Write for Words {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut was_upper = self.0.is_empty();
        for letter in text.chars() {
            if !letter.is_ascii_alphanumeric() {
                return Err(fmt::Error);
            }
            if letter.is_ascii_uppercase() && !was_upper {
                self.0.push(' ');
            }
            was_upper = letter.is_ascii_uppercase();
            self.0.push(letter.to_ascii_uppercase());
        }
        Ok(())
    }
}
