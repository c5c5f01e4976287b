//! FROM: tables, aliases, derived tables, joins.

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::Lowering;
use crate::{
    dialect::Dialect,
    error::{SqlError, SqlErrorKind},
    ir::{Alias, Expr, Ident, Join, JoinCondition, JoinKind, Literal, Relation},
    limits::{self, RELATIONS_MAX},
    parse::TableName,
};

impl Lowering {
    pub(super) fn table_with_joins(
        &mut self,
        table: &ast::TableWithJoins,
    ) -> Result<Relation, SqlError> {
        let ast::TableWithJoins { relation, joins } = table;
        let mut left = self.table_factor(relation)?;
        for join in joins {
            let ast::Join {
                relation,
                global,
                join_operator,
            } = join;
            self.absent(*global, "GLOBAL JOIN")?;
            let mut right = self.table_factor(relation)?;
            let (kind, condition) = match self.applied(join_operator, &mut right)? {
                Some(applied) => applied,
                None => {
                    let (kind, constraint) = self.join_kind(join_operator)?;
                    (kind, self.join_condition(constraint)?)
                }
            };
            self.fitting(kind, &condition, &right)?;
            left = Relation::Join(Box::new(Join {
                left,
                right,
                kind,
                condition,
            }));
        }
        Ok(left)
    }

    /// CROSS APPLY and OUTER APPLY of a query are joins with LATERAL.
    fn applied(
        &mut self,
        operator: &ast::JoinOperator,
        right: &mut Relation,
    ) -> Result<Option<(JoinKind, JoinCondition)>, SqlError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the other joins have a match of their own"
        )]
        let joined = match operator {
            ast::JoinOperator::CrossApply => (JoinKind::Cross, JoinCondition::None),
            ast::JoinOperator::OuterApply => {
                let always = Expr::Literal(Literal::Bool(true));
                (JoinKind::Left, JoinCondition::On(always))
            }
            _ => return Ok(None),
        };
        if let Relation::Derived { is_lateral, .. } = right {
            *is_lateral = true;
            return Ok(Some(joined));
        }
        Err(self.refuse("APPLY of something other than a query", Span::empty()))
    }

    /// Refuses a condition that does not belong to its join.
    fn fitting(
        &mut self,
        kind: JoinKind,
        condition: &JoinCondition,
        right: &Relation,
    ) -> Result<(), SqlError> {
        let is_cross = kind == JoinKind::Cross;
        if is_cross != (*condition == JoinCondition::None) {
            return Err(SqlError::new(
                SqlErrorKind::Invalid,
                "a join needs ON or USING, and CROSS JOIN must have neither",
                self.here,
            ));
        }
        let is_half = matches!(kind, JoinKind::Semi | JoinKind::Anti);
        self.absent(
            is_half && !matches!(condition, JoinCondition::On(_)),
            "USING or NATURAL with SEMI or ANTI JOIN",
        )?;
        let is_lateral = matches!(
            right,
            Relation::Derived {
                is_lateral: true,
                ..
            }
        );
        let keeps_right = matches!(kind, JoinKind::Right | JoinKind::Full);
        self.absent(is_lateral && keeps_right, "RIGHT or FULL JOIN with LATERAL")
    }

    fn join_kind<'a>(
        &mut self,
        operator: &'a ast::JoinOperator,
    ) -> Result<(JoinKind, &'a ast::JoinConstraint), SqlError> {
        Ok(match operator {
            ast::JoinOperator::Join(constraint) | ast::JoinOperator::Inner(constraint) => {
                (JoinKind::Inner, constraint)
            }
            ast::JoinOperator::Left(constraint) | ast::JoinOperator::LeftOuter(constraint) => {
                (JoinKind::Left, constraint)
            }
            ast::JoinOperator::Right(constraint) | ast::JoinOperator::RightOuter(constraint) => {
                (JoinKind::Right, constraint)
            }
            ast::JoinOperator::FullOuter(constraint) => (JoinKind::Full, constraint),
            ast::JoinOperator::CrossJoin(constraint) => (JoinKind::Cross, constraint),
            ast::JoinOperator::Semi(constraint) | ast::JoinOperator::LeftSemi(constraint) => {
                (JoinKind::Semi, constraint)
            }
            ast::JoinOperator::Anti(constraint) | ast::JoinOperator::LeftAnti(constraint) => {
                (JoinKind::Anti, constraint)
            }
            ast::JoinOperator::RightSemi(_) | ast::JoinOperator::RightAnti(_) => {
                return Err(self
                    .refuse("RIGHT SEMI or ANTI JOIN", Span::empty())
                    .with_hint("change the sides, or write EXISTS"));
            }
            ast::JoinOperator::CrossApply | ast::JoinOperator::OuterApply => {
                return Err(self.refuse("APPLY", Span::empty()));
            }
            ast::JoinOperator::AsOf {
                match_condition,
                constraint: _,
            } => {
                return Err(self.refuse("ASOF JOIN", match_condition.span()));
            }
            ast::JoinOperator::StraightJoin(_) => {
                return Err(self.refuse("STRAIGHT_JOIN", Span::empty()));
            }
            ast::JoinOperator::ArrayJoin
            | ast::JoinOperator::LeftArrayJoin
            | ast::JoinOperator::InnerArrayJoin => {
                return Err(self.refuse("ARRAY JOIN", Span::empty()));
            }
        })
    }

    fn join_condition(
        &mut self,
        constraint: &ast::JoinConstraint,
    ) -> Result<JoinCondition, SqlError> {
        Ok(match constraint {
            ast::JoinConstraint::On(expr) => JoinCondition::On(self.condition(expr)?),
            ast::JoinConstraint::Using(columns) => {
                JoinCondition::Using(self.list(columns, |this, name| this.single(name))?)
            }
            // There columns whose names differ in case would be joined by.
            ast::JoinConstraint::Natural
                if matches!(self.dialect, Dialect::Ansi | Dialect::MySql) =>
            {
                return Err(self
                    .refuse("NATURAL JOIN in this dialect", Span::empty())
                    .with_hint("write USING (columns)"));
            }
            ast::JoinConstraint::Natural => JoinCondition::Natural(self.here),
            ast::JoinConstraint::None => JoinCondition::None,
        })
    }

    #[expect(
        clippy::too_many_lines,
        reason = "an arm for each variant of the parser's tree"
    )]
    pub(super) fn table_factor(&mut self, factor: &ast::TableFactor) -> Result<Relation, SqlError> {
        match factor {
            ast::TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                self.at(name.span());
                self.absent(args.is_some(), "a table function")?;
                self.absent(!with_hints.is_empty(), "a table hint")?;
                self.absent(version.is_some(), "time travel")?;
                self.absent(*with_ordinality, "WITH ORDINALITY")?;
                self.absent(!partitions.is_empty(), "PARTITION")?;
                self.absent(json_path.is_some(), "a path behind a table")?;
                self.absent(sample.is_some(), "TABLESAMPLE")?;
                self.absent(!index_hints.is_empty(), "an index hint")?;
                let name = self.table_name(name)?;
                let alias = self.optional(alias.as_ref(), Self::alias)?;
                self.named(name, alias)
            }
            ast::TableFactor::Derived {
                lateral,
                subquery,
                alias,
                sample,
            } => {
                self.absent(sample.is_some(), "TABLESAMPLE")?;
                let query = Box::new(self.query(subquery)?);
                let alias = self.optional(alias.as_ref(), Self::alias)?;
                Ok(Relation::Derived {
                    is_lateral: *lateral,
                    query,
                    alias,
                })
            }
            ast::TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                self.absent(alias.is_some(), "an alias of a join in parentheses")?;
                self.table_with_joins(table_with_joins)
            }
            ast::TableFactor::TableFunction { expr, alias: _ } => {
                Err(self.refuse("a table function", expr.span()))
            }
            ast::TableFactor::Function {
                lateral: _,
                name,
                args: _,
                with_ordinality: _,
                alias: _,
            } => Err(self.refuse("a table function", name.span())),
            ast::TableFactor::UNNEST { .. } => Err(self.refuse("UNNEST", factor.span())),
            ast::TableFactor::JsonTable { .. } => Err(self.refuse("JSON_TABLE", factor.span())),
            ast::TableFactor::OpenJsonTable { .. } => Err(self.refuse("OPENJSON", factor.span())),
            ast::TableFactor::Pivot { .. } => Err(self.refuse("PIVOT", factor.span())),
            ast::TableFactor::Unpivot { .. } => Err(self.refuse("UNPIVOT", factor.span())),
            ast::TableFactor::MatchRecognize { .. } => {
                Err(self.refuse("MATCH_RECOGNIZE", factor.span()))
            }
            ast::TableFactor::XmlTable { .. } => Err(self.refuse("XMLTABLE", factor.span())),
            ast::TableFactor::SemanticView { .. } => {
                Err(self.refuse("SEMANTIC_VIEW", factor.span()))
            }
        }
    }

    /// A name in FROM: a query of WITH if one is in scope, else a base table.
    pub(super) fn named(
        &mut self,
        name: Vec<Ident>,
        alias: Option<Alias>,
    ) -> Result<Relation, SqlError> {
        let position = name.first().map_or(self.here, |part| part.position);
        self.relations += 1;
        if self.relations > RELATIONS_MAX {
            return Err(limits::exceeded("tables", RELATIONS_MAX, position));
        }
        if let [single] = name.as_slice()
            && let Some(cte) = self.cte(single)?
        {
            return Ok(Relation::Cte { name: cte, alias });
        }
        if name.len() > 3 {
            return Err(SqlError::unsupported(
                "a table name of more than three parts",
                position,
            ));
        }
        let occurrence = self.tables.len();
        self.tables.push(TableName {
            parts: name.clone(),
            position,
        });
        Ok(Relation::Table {
            name,
            occurrence,
            alias,
        })
    }

    /// The definition that a single name means: the innermost of this spelling, else the only one
    /// that differs in case.
    fn cte(&mut self, name: &Ident) -> Result<Option<Ident>, SqlError> {
        if let Some(exact) = self.ctes.iter().rev().find(|cte| name.matches(&cte.value)) {
            return Ok(Some(exact.clone()));
        }
        let mut loose = self
            .ctes
            .iter()
            .filter(|cte| name.matches_loosely(&cte.value));
        match (loose.next(), loose.next()) {
            (None, _) => Ok(None),
            (Some(cte), None) => Ok(Some(cte.clone())),
            (Some(_), Some(_)) => Err(SqlError::new(
                SqlErrorKind::Ambiguous,
                format!(
                    "`{}` matches several WITH names that differ in case",
                    name.value
                ),
                name.position,
            )
            .with_hint("quote the name exactly")),
        }
    }

    pub(super) fn alias(&mut self, alias: &ast::TableAlias) -> Result<Alias, SqlError> {
        let ast::TableAlias {
            explicit: _,
            name,
            columns,
            at,
        } = alias;
        let name = self.ident(name)?;
        self.absent(at.is_some(), "AT behind an alias")?;
        let columns = self.list(columns, |this, column| {
            let ast::TableAliasColumnDef { name, data_type } = column;
            this.absent(data_type.is_some(), "a type in a list of column aliases")?;
            this.ident(name)
        })?;
        Ok(Alias { name, columns })
    }
}
