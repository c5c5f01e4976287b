//! Functions that SQL writes with keywords. All but CASE, CAST and EXTRACT become calls.

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::{
    Lowering,
    number::{Number, number},
};
use crate::{
    dialect::{
        Dialect,
        function::{Meaning, meaning},
    },
    error::SqlError,
    functions,
    ir::{Arguments, Call, Expr, Field, Literal, Type},
};

impl Lowering {
    #[expect(
        clippy::too_many_lines,
        reason = "an arm for each variant of the parser's tree"
    )]
    pub(super) fn special_call(&mut self, expr: &ast::Expr) -> Result<Expr, SqlError> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "the caller listed the variants"
        )]
        match expr {
            ast::Expr::Case {
                case_token,
                end_token: _,
                operand,
                conditions,
                else_result,
            } => {
                self.at(case_token.0.span);
                self.case(operand.as_deref(), conditions, else_result.as_deref())
            }
            ast::Expr::Cast {
                kind,
                expr,
                data_type,
                array,
                format,
            } => {
                self.absent(*array, "CAST to ARRAY")?;
                self.absent(format.is_some(), "CAST with FORMAT")?;
                self.cast(kind, expr, data_type)
            }
            ast::Expr::Extract {
                field,
                syntax,
                expr,
            } => {
                let is_standard = matches!(syntax, ast::ExtractSyntax::From);
                self.absent(!is_standard, "EXTRACT with a comma")?;
                let expr = self.boxed(expr)?;
                Ok(Expr::Extract {
                    field: self.extracted(field)?,
                    expr,
                })
            }
            ast::Expr::Ceil { expr, field } => self.rounding("ceil", expr, field),
            ast::Expr::Floor { expr, field } => self.rounding("floor", expr, field),
            ast::Expr::Position { expr, r#in } => {
                let part = self.expr(expr)?;
                let whole = self.expr(r#in)?;
                self.plain("strpos", vec![whole, part])
            }
            ast::Expr::Substring {
                expr,
                substring_from,
                substring_for,
                special: _,
                shorthand: _,
            } => self.substring(expr, substring_from.as_deref(), substring_for.as_deref()),
            ast::Expr::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => self.overlay([expr, overlay_what, overlay_from], overlay_for.as_deref()),
            ast::Expr::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters,
            } => self.trim(
                *trim_where,
                expr,
                trim_what.as_deref(),
                trim_characters.as_deref(),
            ),
            other => Err(self.refuse("this expression", other.span())),
        }
    }

    fn overlay(
        &mut self,
        text_and_part_and_start: [&ast::Expr; 3],
        length: Option<&ast::Expr>,
    ) -> Result<Expr, SqlError> {
        let mut arguments = self.list(&text_and_part_and_start, |this, part| this.expr(part))?;
        arguments.extend(self.optional(length, Self::expr)?);
        self.plain("overlay", arguments)
    }

    fn trim(
        &mut self,
        side: Option<ast::TrimWhereField>,
        expr: &ast::Expr,
        what: Option<&ast::Expr>,
        characters: Option<&[ast::Expr]>,
    ) -> Result<Expr, SqlError> {
        let mut arguments = vec![self.expr(expr)?];
        arguments.extend(self.optional(what, Self::expr)?);
        arguments.extend(self.list(characters.unwrap_or_default(), Self::expr)?);
        let name = match side {
            None | Some(ast::TrimWhereField::Both) => "btrim",
            Some(ast::TrimWhereField::Leading) => "ltrim",
            Some(ast::TrimWhereField::Trailing) => "rtrim",
        };
        // There a text is taken off, here each of its letters.
        let is_letter = |expr: &Expr| matches!(expr, Expr::Literal(Literal::Text(text)) if text.chars().count() == 1);
        if self.dialect == Dialect::MySql && !arguments.iter().skip(1).all(is_letter) {
            return Err(self
                .refuse("TRIM of more than one letter in this dialect", expr.span())
                .with_hint("write a literal of one letter"));
        }
        self.plain(name, arguments)
    }

    fn case(
        &mut self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
    ) -> Result<Expr, SqlError> {
        let operand = self.optional(operand, Self::boxed)?;
        let branches = self.list(conditions, |this, when| {
            let ast::CaseWhen { condition, result } = when;
            Ok((this.expr(condition)?, this.expr(result)?))
        })?;
        let otherwise = self.optional(otherwise, Self::boxed)?;
        Ok(Expr::Case {
            operand,
            branches,
            otherwise,
        })
    }

    fn cast(
        &mut self,
        kind: &ast::CastKind,
        expr: &ast::Expr,
        data_type: &ast::DataType,
    ) -> Result<Expr, SqlError> {
        let is_try = match kind {
            ast::CastKind::Cast | ast::CastKind::DoubleColon => false,
            ast::CastKind::TryCast => true,
            ast::CastKind::SafeCast => return Err(self.refuse("SAFE_CAST", expr.span())),
        };
        let at = expr.span();
        let mut expr = self.boxed(expr)?;
        let to = self.data_type(data_type)?;
        if let Expr::Literal(Literal::Text(text)) = expr.as_mut() {
            *text = self.of_type(to, std::mem::take(text));
        }
        let is_cut = matches!(to, Type::SmallInt | Type::Integer | Type::BigInt)
            && number(&expr) == Some(Number::Other);
        if is_cut && self.dialect != Dialect::DataFusion {
            return Err(self
                .refuse("a cast that rounds there and cuts here", at)
                .with_hint("write CAST(round(x) AS BIGINT)"));
        }
        Ok(Expr::Cast { expr, to, is_try })
    }

    /// A field of EXTRACT that is the same in the caller's dialect.
    fn extracted(&mut self, field: &ast::DateTimeField) -> Result<Field, SqlError> {
        let field = self.field(field)?;
        let is_other = match self.dialect {
            Dialect::Ansi => matches!(field, Field::DayOfWeek),
            Dialect::MySql => matches!(
                field,
                Field::Week | Field::DayOfWeek | Field::Millisecond | Field::Microsecond
            ),
            Dialect::Postgres | Dialect::DataFusion => false,
        };
        if is_other {
            return Err(self.refuse("this date field in this dialect", Span::empty()));
        }
        Ok(field)
    }

    fn substring(
        &mut self,
        expr: &ast::Expr,
        from: Option<&ast::Expr>,
        length: Option<&ast::Expr>,
    ) -> Result<Expr, SqlError> {
        let position = self.at(expr.span());
        let text = self.expr(expr)?;
        let from = self.optional(from, Self::expr)?;
        let first = || Expr::Literal(Literal::Number("1".to_owned()));
        let mut arguments = vec![text, from.unwrap_or_else(first)];
        arguments.extend(self.optional(length, Self::expr)?);
        let meaning = meaning(self.dialect, "substr").unwrap_or(Meaning::Call("substr"));
        self.meant("substr", meaning, arguments, position)
    }

    fn rounding(
        &mut self,
        name: &str,
        expr: &ast::Expr,
        field: &ast::CeilFloorKind,
    ) -> Result<Expr, SqlError> {
        let argument = self.expr(expr)?;
        match field {
            ast::CeilFloorKind::DateTimeField(ast::DateTimeField::NoDateTime) => {
                self.plain(name, vec![argument])
            }
            ast::CeilFloorKind::DateTimeField(_) | ast::CeilFloorKind::Scale(_) => {
                Err(self.refuse(format!("{name} with a field or a scale"), expr.span()))
            }
        }
    }

    /// A call of a scalar function of ours.
    pub(super) fn plain(&mut self, name: &str, arguments: Vec<Expr>) -> Result<Expr, SqlError> {
        let call = self.unchecked(name, arguments)?;
        self.checked(call)
    }

    /// A call of a function of ours that is not whole yet.
    pub(super) fn unchecked(&mut self, name: &str, arguments: Vec<Expr>) -> Result<Call, SqlError> {
        let Some(function) = functions::lookup(name) else {
            return Err(self.refuse(name, Span::empty()));
        };
        Ok(Call {
            function,
            is_distinct: false,
            arguments: Arguments::List(arguments),
            order_by: Vec::new(),
            within_group: Vec::new(),
            filter: None,
            ignores_nulls: None,
            over: None,
            position: self.here,
        })
    }
}
