//! Writes: which column of the target each output is, and the edges of lineage.

use std::collections::BTreeSet;

use dataos_model::lineage::{ColumnEdge, Transformation, WriteLineage};

use super::{Binder, BoundQuery, OutputColumn};
use crate::{
    error::{SqlError, SqlErrorKind},
    ir::{Ident, Position},
    limits::{self, LINEAGE_EDGES_MAX},
    lineage::Source,
    names::Target,
};

impl Binder<'_> {
    /// Edges into a new table, whose columns are the outputs.
    pub(super) fn created(
        &self,
        bound: &BoundQuery,
        columns: &[OutputColumn],
        position: Position,
    ) -> Result<Vec<ColumnEdge>, SqlError> {
        let mut names = BTreeSet::new();
        for column in columns {
            if !names.insert(column.name.to_lowercase()) {
                return Err(SqlError::new(
                    SqlErrorKind::Ambiguous,
                    format!("the new table would have two columns `{}`", column.name),
                    position,
                )
                .with_hint("give each column a name with AS"));
            }
        }
        self.edges(bound, columns, position)
    }

    /// Edges into an existing table; gives `columns` the names of the target's columns.
    pub(super) fn inserted(
        &self,
        bound: &BoundQuery,
        named: &[Ident],
        target: &Target,
        columns: &mut [OutputColumn],
    ) -> Result<Vec<ColumnEdge>, SqlError> {
        let into = target_columns(named, target)?;
        if into.len() != columns.len() {
            return Err(SqlError::new(
                SqlErrorKind::Invalid,
                format!("{} values for {} columns", columns.len(), into.len()),
                target.position,
            ));
        }
        for ((column, output), name) in columns.iter_mut().zip(&bound.outputs).zip(into) {
            let place = Ident {
                position: target.position,
                ..Ident::quoted(&name)
            };
            self.refuse_masked(output, target, &place)?;
            column.name = name;
        }
        self.edges(bound, columns, target.position)
    }

    pub(super) fn edges(
        &self,
        bound: &BoundQuery,
        columns: &[OutputColumn],
        position: Position,
    ) -> Result<Vec<ColumnEdge>, SqlError> {
        let mut edges = BTreeSet::new();
        for (output, column) in bound.outputs.iter().zip(columns) {
            let direct = output
                .flow
                .direct
                .iter()
                .map(|(source, how)| (*source, *how));
            let decisive = output.flow.conditional.iter().chain(&bound.indirect);
            let indirect = decisive.map(|source| (*source, Transformation::Indirect));
            for (source, how) in direct.chain(indirect) {
                edges.extend(self.edge(source, &column.name, how));
                if edges.len() > LINEAGE_EDGES_MAX {
                    return Err(limits::exceeded(
                        "lineage edges",
                        LINEAGE_EDGES_MAX,
                        position,
                    ));
                }
            }
        }
        Ok(edges.into_iter().collect())
    }

    pub(super) fn edge(
        &self,
        source: Source,
        target: &str,
        how: Transformation,
    ) -> Option<ColumnEdge> {
        let view = self.views.get(source.occurrence)?;
        let column = view.columns.get(source.column)?;
        Some(ColumnEdge {
            source: view.dataset.clone(),
            source_column: column.name.clone(),
            target_column: target.to_owned(),
            transformation: how,
        })
    }
}

/// The columns that INSERT writes, in the order of the values.
fn target_columns(named: &[Ident], target: &Target) -> Result<Vec<String>, SqlError> {
    let all: Vec<&str> = target
        .schema
        .iter()
        .flat_map(|schema| schema.columns.iter().map(|column| column.name.as_str()))
        .collect();
    if named.is_empty() {
        return Ok(all.into_iter().map(str::to_owned).collect());
    }
    let mut columns: Vec<String> = Vec::with_capacity(named.len());
    for name in named {
        let found: Vec<&&str> =
            Ident::meant(|fits| all.iter().filter(|column| fits(name, column)).collect());
        let [column] = found.as_slice() else {
            return Err(SqlError::new(
                SqlErrorKind::Unknown,
                format!("column `{}` does not exist in the target", name.value),
                name.position,
            ));
        };
        if columns.iter().any(|seen| seen == **column) {
            return Err(SqlError::new(
                SqlErrorKind::Ambiguous,
                format!("column `{}` is named twice", name.value),
                name.position,
            ));
        }
        columns.push((**column).to_owned());
    }
    Ok(columns)
}

/// The lineage of a write.
pub(super) fn lineage(
    target: &Target,
    creates: bool,
    edges: Vec<ColumnEdge>,
    fingerprint: &str,
) -> WriteLineage {
    WriteLineage {
        target: target.dataset.clone(),
        creates,
        edges,
        statement: fingerprint.to_owned(),
    }
}
