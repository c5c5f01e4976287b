//! Tags and how they flow: what is set by hand on a target, and what follows along column lineage.
//!
//! A column's effective tags are its own and those of every column that a direct edge leads from,
//! transitively. A dataset's are its own and those of every dataset that a direct edge leads from,
//! so that a rule on a whole dataset also holds for its copies.
//!
//! A change is exact: what it can reach is found first, set back to its own tags and derived again
//! from the rest (delete and rederive). Counting supports would fail on cycles, which feed themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::change::{Edge, Target};

/// Index of a node; nodes are never removed, since a dropped source still taints its copies.
type NodeId = usize;

/// The graph of all targets that have tags or edges.
#[derive(Clone, Debug, Default)]
pub(crate) struct TagGraph {
    ids: BTreeMap<Target, NodeId>,
    nodes: Vec<Node>,
}

#[derive(Clone, Debug)]
struct Node {
    target: Target,
    own: BTreeSet<String>,
    effective: BTreeSet<String>,
    /// Nodes that feed this one, with the number of edges.
    sources: BTreeMap<NodeId, u32>,
    /// Nodes that this one feeds.
    sinks: BTreeSet<NodeId>,
}

/// Nodes whose effective tags may have changed; hand it to [`TagGraph::derive`].
#[derive(Debug, Default)]
pub(crate) struct Disturbed(BTreeSet<NodeId>);

impl TagGraph {
    /// Effective tags of a target.
    pub(crate) fn effective(&self, target: &Target) -> BTreeSet<String> {
        let node = self.ids.get(target).and_then(|id| self.node(*id));
        node.map(|node| node.effective.clone()).unwrap_or_default()
    }

    /// Tags set by hand on a target.
    pub(crate) fn own(&self, target: &Target) -> BTreeSet<String> {
        let node = self.ids.get(target).and_then(|id| self.node(*id));
        node.map(|node| node.own.clone()).unwrap_or_default()
    }

    /// Sets the tags set by hand.
    pub(crate) fn set_own(
        &mut self,
        target: &Target,
        tags: BTreeSet<String>,
        disturbed: &mut Disturbed,
    ) {
        let id = self.intern(target);
        if let Some(node) = self.node_mut(id) {
            node.own = tags;
            disturbed.0.insert(id);
        }
    }

    /// Adds an edge between columns, and with it one between their datasets.
    pub(crate) fn connect(&mut self, edge: &Edge, disturbed: &mut Disturbed) {
        for (source, target) in ends(edge) {
            let (from, to) = (self.intern(&source), self.intern(&target));
            if let Some(node) = self.node_mut(to) {
                *node.sources.entry(from).or_default() += 1;
            }
            if let Some(node) = self.node_mut(from) {
                node.sinks.insert(to);
            }
            disturbed.0.insert(to);
        }
    }

    /// Takes away an edge that was added before.
    pub(crate) fn disconnect(&mut self, edge: &Edge, disturbed: &mut Disturbed) {
        for (source, target) in ends(edge) {
            let (from, to) = (self.intern(&source), self.intern(&target));
            let Some(node) = self.node_mut(to) else {
                continue;
            };
            let Some(count) = node.sources.get_mut(&from) else {
                continue;
            };
            *count -= 1;
            if *count == 0 {
                node.sources.remove(&from);
                if let Some(node) = self.node_mut(from) {
                    node.sinks.remove(&to);
                }
            }
            disturbed.0.insert(to);
        }
    }

    /// Derives what the disturbed nodes can reach and returns the targets whose tags changed.
    pub(crate) fn derive(&mut self, disturbed: Disturbed) -> Vec<Target> {
        let reached = self.reach(disturbed.0);
        let mut former = BTreeMap::new();
        for id in &reached {
            if let Some(node) = self.node_mut(*id) {
                let own = node.own.clone();
                former.insert(*id, std::mem::replace(&mut node.effective, own));
            }
        }
        // Everything reached is in the work list once, and again whenever a source gains a tag, so
        // the loop ends in the least fixpoint.
        let mut work = reached;
        while let Some(id) = work.pop_first() {
            let Some(node) = self.node(id) else { continue };
            let mut tags = node.effective.clone();
            for source in node.sources.keys().filter_map(|source| self.node(*source)) {
                tags.extend(source.effective.iter().cloned());
            }
            if tags.len() > node.effective.len() {
                work.extend(node.sinks.iter().copied());
                if let Some(node) = self.node_mut(id) {
                    node.effective = tags;
                }
            }
        }
        let changed = |(id, tags): (NodeId, BTreeSet<String>)| {
            let node = self.node(id)?;
            (node.effective != tags).then(|| node.target.clone())
        };
        former.into_iter().filter_map(changed).collect()
    }

    fn reach(&self, start: BTreeSet<NodeId>) -> BTreeSet<NodeId> {
        let mut work: Vec<NodeId> = start.iter().copied().collect();
        let mut reached = start;
        while let Some(id) = work.pop() {
            let sinks = self.node(id).map(|node| &node.sinks).into_iter().flatten();
            work.extend(sinks.filter(|sink| reached.insert(**sink)));
        }
        reached
    }

    fn intern(&mut self, target: &Target) -> NodeId {
        if let Some(id) = self.ids.get(target) {
            return *id;
        }
        let id = self.nodes.len();
        self.ids.insert(target.clone(), id);
        self.nodes.push(Node {
            target: target.clone(),
            own: BTreeSet::new(),
            effective: BTreeSet::new(),
            sources: BTreeMap::new(),
            sinks: BTreeSet::new(),
        });
        id
    }

    fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(id)
    }

    fn node_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(id)
    }
}

/// The pairs of nodes that an edge connects; none if no value flows.
fn ends(edge: &Edge) -> Vec<(Target, Target)> {
    if !edge.is_direct() {
        return Vec::new();
    }
    vec![
        (
            Target::new(&edge.source, Some(&edge.source_column)),
            Target::new(&edge.target, Some(&edge.target_column)),
        ),
        (
            Target::new(&edge.source, None),
            Target::new(&edge.target, None),
        ),
    ]
}

#[cfg(test)]
mod tests;
