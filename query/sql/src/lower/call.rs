//! Functions with a list of arguments, and windows.

use std::collections::HashSet;

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

use super::Lowering;
use crate::{
    bind::expr::has_query,
    dialect::function::{Meaning, meaning},
    error::{SqlError, SqlErrorKind},
    functions::{self, Function, FunctionKind},
    ir::{Arguments, Call, Expr, Literal, Matching, Position},
};

impl Lowering {
    pub(super) fn call(&mut self, call: &ast::Function) -> Result<Expr, SqlError> {
        let ast::Function {
            name,
            uses_odbc_syntax,
            parameters,
            args,
            filter,
            null_treatment,
            over,
            within_group,
        } = call;
        let (name, position) = self.function_name(name)?;
        let function = match meaning(self.dialect, &name) {
            None => self.function(&name, position)?,
            Some(Meaning::Call(name)) => self.function(name, position)?,
            Some(meaning @ Meaning::Refused(_)) => {
                return self.meant(&name, meaning, Vec::new(), position);
            }
            Some(meaning) => {
                let arguments = self.bare_arguments(call)?;
                return self.meant(&name, meaning, arguments, position);
            }
        };
        self.is_volatile |= function.is_volatile;
        self.absent(*uses_odbc_syntax, "the {fn ..} form of a call")?;
        let has_parameters = !matches!(parameters, ast::FunctionArguments::None);
        self.absent(has_parameters, "a second list of arguments")?;
        let mut call = Call {
            function,
            is_distinct: false,
            arguments: Arguments::List(Vec::new()),
            order_by: Vec::new(),
            within_group: self.list(within_group, Self::inner_order_item)?,
            filter: None,
            ignores_nulls: self.null_treatment(null_treatment.as_ref()),
            over: None,
            position,
        };
        self.arguments(args, &mut call)?;
        call.filter = self.optional(filter.as_deref(), Self::expr)?;
        call.over = self.optional(over.as_ref(), Self::window)?;
        self.checked(call)
    }

    /// The name of a function: in lower case, where the dialect looks past it.
    fn function_name(&mut self, name: &ast::ObjectName) -> Result<(String, Position), SqlError> {
        let span = name.span();
        let position = self.at(span);
        match self.name(name)?.as_slice() {
            [name] if name.matching == Matching::AnyCase => {
                Ok((name.value.to_ascii_lowercase(), position))
            }
            [name] => Ok((name.value.clone(), position)),
            _ => Err(self.refuse("a function name with a point", span)),
        }
    }

    /// The function of the allow-list that a name means.
    fn function(&self, name: &str, position: Position) -> Result<&'static Function, SqlError> {
        functions::lookup(name).ok_or_else(|| {
            let message = format!("the function {name} is not on the allow-list");
            let error = SqlError::new(SqlErrorKind::Unknown, message, position);
            match functions::nearest(name) {
                Some(near) => error.with_hint(format!("did you mean {near}?")),
                None => error,
            }
        })
    }

    fn null_treatment(&mut self, treatment: Option<&ast::NullTreatment>) -> Option<bool> {
        treatment.map(|treatment| match treatment {
            ast::NullTreatment::IgnoreNulls => true,
            ast::NullTreatment::RespectNulls => false,
        })
    }

    fn arguments(
        &mut self,
        arguments: &ast::FunctionArguments,
        call: &mut Call,
    ) -> Result<(), SqlError> {
        let list = match arguments {
            ast::FunctionArguments::None => return Ok(()),
            ast::FunctionArguments::Subquery(query) => {
                return Err(self.refuse("a query as the only argument", query.span()));
            }
            ast::FunctionArguments::List(list) => list,
        };
        let ast::FunctionArgumentList {
            duplicate_treatment,
            args,
            clauses,
        } = list;
        call.is_distinct = match duplicate_treatment {
            None | Some(ast::DuplicateTreatment::All) => false,
            Some(ast::DuplicateTreatment::Distinct) => true,
        };
        if let [ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Wildcard)] = args.as_slice() {
            call.arguments = Arguments::Star;
        } else {
            call.arguments = Arguments::List(self.list(args, Self::argument)?);
        }
        for clause in clauses {
            match clause {
                ast::FunctionArgumentClause::OrderBy(items) => {
                    call.order_by = self.list(items, Self::inner_order_item)?;
                }
                ast::FunctionArgumentClause::IgnoreOrRespectNulls(treatment) => {
                    call.ignores_nulls = self.null_treatment(Some(treatment));
                }
                ast::FunctionArgumentClause::Limit(_)
                | ast::FunctionArgumentClause::OnOverflow(_)
                | ast::FunctionArgumentClause::Having(_)
                | ast::FunctionArgumentClause::Separator(_)
                | ast::FunctionArgumentClause::JsonNullClause(_)
                | ast::FunctionArgumentClause::JsonReturningClause(_) => {
                    return Err(self.refuse("this clause among arguments", Span::empty()));
                }
            }
        }
        Ok(())
    }

    pub(super) fn argument(&mut self, argument: &ast::FunctionArg) -> Result<Expr, SqlError> {
        match argument {
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(expr)) => self.expr(expr),
            ast::FunctionArg::Unnamed(ast::FunctionArgExpr::QualifiedWildcard(name)) => {
                Ok(Expr::Row(self.name(name)?))
            }
            ast::FunctionArg::Unnamed(
                ast::FunctionArgExpr::Wildcard | ast::FunctionArgExpr::WildcardWithOptions(_),
            ) => Err(self.refuse("a star among arguments", argument.span())),
            ast::FunctionArg::Named { .. } | ast::FunctionArg::ExprNamed { .. } => {
                Err(self.refuse("a named argument", argument.span()))
            }
        }
    }

    /// A call whose form fits its function.
    pub(super) fn checked(&mut self, call: Call) -> Result<Expr, SqlError> {
        let function = call.function;
        let wrong = |text: String| Err(SqlError::new(SqlErrorKind::Invalid, text, call.position));
        let count = match &call.arguments {
            Arguments::Star if function.name == "count" => function.arguments_min,
            Arguments::Star => return wrong(format!("{}(*) has no meaning", function.name)),
            Arguments::List(list) => list.len(),
        };
        if !(function.arguments_min..=function.arguments_max).contains(&count) {
            return wrong(format!(
                "{} takes {} to {} arguments, not {count}",
                function.name, function.arguments_min, function.arguments_max
            ));
        }
        let is_aggregating = function.kind == FunctionKind::Aggregate;
        let is_windowed = call.over.is_some();
        if function.kind == FunctionKind::Scalar && is_windowed {
            return wrong(format!("{} cannot have OVER", function.name));
        }
        if function.kind == FunctionKind::Window && !is_windowed {
            return wrong(format!("{} needs OVER", function.name));
        }
        let is_star = call.arguments == Arguments::Star;
        let has_aggregate_clause =
            call.is_distinct || !call.order_by.is_empty() || call.filter.is_some();
        if (has_aggregate_clause && !is_aggregating) || (is_star && call.is_distinct) {
            return wrong(format!(
                "{} cannot have DISTINCT, ORDER BY or FILTER here",
                function.name
            ));
        }
        if call.within_group.is_empty() == function.is_ordered_set() {
            return wrong(format!(
                "{} {} WITHIN GROUP (ORDER BY ..)",
                function.name,
                if function.is_ordered_set() {
                    "needs"
                } else {
                    "cannot have"
                }
            ));
        }
        if call.ignores_nulls.is_some() && function.kind == FunctionKind::Scalar {
            return wrong(format!(
                "{} cannot have IGNORE or RESPECT NULLS",
                function.name
            ));
        }
        if function.name == "named_struct"
            && let Some(text) = wrong_fields(&call.arguments)
        {
            return wrong(text.to_owned());
        }
        no_query_for_literal(&call)?;
        Ok(Expr::Call(Box::new(call)))
    }
}

/// Refuses a query in an argument that the engine reads before it has rows.
fn no_query_for_literal(call: &Call) -> Result<(), SqlError> {
    let name = call.function.name;
    let first = match name {
        "ntile" => 0,
        "lag" | "lead" | "nth_value" | "string_agg" => 1,
        _ => return Ok(()),
    };
    match &call.arguments {
        Arguments::List(list) if list.iter().skip(first).any(has_query) => {
            let what = format!("a query in place of a literal in {name}");
            Err(SqlError::unsupported(what, call.position))
        }
        Arguments::List(_) | Arguments::Star => Ok(()),
    }
}

/// What is wrong with the arguments of `named_struct`.
fn wrong_fields(arguments: &Arguments) -> Option<&'static str> {
    let Arguments::List(arguments) = arguments else {
        return None;
    };
    let mut names = HashSet::new();
    for field in arguments.chunks(2) {
        let [Expr::Literal(Literal::Text(name)), _] = field else {
            return Some("named_struct takes names and values in turn, each name as a text");
        };
        if !names.insert(name) {
            return Some("named_struct has a name twice");
        }
    }
    None
}
