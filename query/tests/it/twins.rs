//! Two worlds that differ only in what the caller may not know: hidden rows, their number, columns
//! that are absent, and raw values whose masked forms are the same. Whatever a statement answers must
//! be the same in both.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::arrow::array::{ArrayRef, Date32Array, Int64Array, StringArray};
use dataos_model::{
    access::CellOutcome,
    action::Action,
    dataset::DatasetId,
    depot::{DatasetSource, Definer},
    fault::Fault,
    hash::Hash,
    mask::Mask,
    query::QueryAnswer,
    seams::RunQuery,
};
use dataos_query::QueryConfig;
use regex::Regex;

use crate::{
    back_ends::BackEnd,
    world::{Telling, World, always, equals, when},
};

/// Text that no answer, error or plan may contain.
pub(crate) const CANARY: &str = "canary";
/// A number of hidden rows; probes fail on it, and no answer may contain it.
const HIDDEN: i64 = 777;
/// Rows that the caller sees of `t`.
const VISIBLE_ROWS: i64 = 40;

const T: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("tenant", "text"),
    ("amount", "bigint"),
    ("memo", "text"),
    ("born", "date"),
    ("salary", "bigint"),
    ("email", "text"),
    ("note", "text"),
    ("ssn", "text"),
];
const U: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("t_id", "bigint"),
    ("label", "text"),
    ("rank", "bigint"),
    ("region", "text"),
];

/// A row of `t` as a world has it.
struct Row {
    id: i64,
    is_visible: bool,
    world: i64,
}

impl Row {
    fn tenant(&self) -> &'static str {
        if self.is_visible { "a" } else { "b" }
    }

    fn amount(&self) -> Option<i64> {
        if !self.is_visible {
            return Some(HIDDEN);
        }
        (self.id % 7 != 0).then_some(1_000 + self.id % 13)
    }

    fn memo(&self) -> String {
        if self.is_visible {
            format!("{}", self.id % 5)
        } else {
            format!("{CANARY}{}", self.world)
        }
    }

    /// Masked to the month.
    fn born(&self) -> i32 {
        let month = i32::try_from(self.id % 6).unwrap() * 31;
        15_000 - 15_000 % 365 + month + i32::try_from(self.world).unwrap()
    }

    /// Masked to buckets of a thousand.
    fn salary(&self) -> i64 {
        (self.id % 3) * 1_000 + 100 * self.world + HIDDEN % 100
    }

    /// Masked but for its first letter; the length stays.
    fn email(&self) -> String {
        format!(
            "{}{CANARY}{}",
            (b'a' + u8::try_from(self.id % 4).unwrap()) as char,
            self.world
        )
    }

    /// Plain where `amount` is 1 003, else replaced.
    fn note(&self) -> String {
        if self.amount() == Some(1_003) {
            format!("open {}", self.id)
        } else {
            format!("{CANARY}{}-{}", self.world, self.id)
        }
    }

    fn ssn(&self) -> String {
        format!("{CANARY}-{}-{}", self.world, self.id)
    }
}

/// Visible rows in one order, hidden ones between them: more in the second world.
fn rows(world: i64) -> Vec<Row> {
    let mut rows = Vec::new();
    for id in 0..VISIBLE_ROWS {
        rows.push(Row {
            id,
            is_visible: true,
            world,
        });
        for copy in 0..=(id + world) % (1 + world) {
            rows.push(Row {
                id: 1_000 * world + 10 * id + copy,
                is_visible: false,
                world,
            });
        }
    }
    rows
}

/// The rows of `u`; those of other regions than EMEA are hidden, and `region` is absent.
fn others(world: i64) -> Vec<(i64, i64, String, Option<i64>, &'static str)> {
    let mut others = Vec::new();
    for id in 0..20 {
        let rank = (id % 4 != 1).then_some(id % 6);
        others.push((id, id * 2, format!("{CANARY}{world}"), rank, "EMEA"));
        if (id + world) % 2 == 0 {
            others.push((id, HIDDEN, format!("{CANARY}{world}"), Some(HIDDEN), "AMER"));
        }
    }
    others
}

fn texts(texts: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(texts))
}

/// The names of the two tables.
const NAMES: [&str; 2] = ["t", "u"];
/// Their names where views have those.
const BASES: [&str; 2] = ["base_t", "base_u"];

/// Where the policies of a world with views lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Governed {
    /// On the tables below the views, which show what their reader sees of those.
    Below,
    /// On the views, over tables that are open.
    Views,
    /// On the tables below the views, for the definer who lends his rights; the caller may not read them.
    Definer,
    /// On the views, over tables that are open to the definer, and closed to the caller.
    DefinerViews,
    /// Nowhere: the queries of the views leave out what their caller may not know.
    Queries,
}

impl Governed {
    /// Who lends his rights, if the views are such.
    fn definer(self) -> Option<Definer> {
        match self {
            Self::Below | Self::Views => None,
            Self::Definer | Self::DefinerViews | Self::Queries => Some(Definer {
                user: DEFINER.to_owned(),
                // Of no view.
                reads: Hash::of_parts([""; 0]),
            }),
        }
    }
}

/// Who lends his rights.
const DEFINER: &str = "dana";

/// What the caller may know of the tables, as queries say it.
const QUERY_OF_T: &[(&str, &str)] = &[
    ("id", "id"),
    ("tenant", "tenant"),
    ("amount", "amount"),
    ("memo", "memo"),
    ("born", "CAST(2000 + date_part('month', born) AS BIGINT)"),
    ("salary", "salary / 1000"),
    ("email", "substr(email, 1, 1)"),
    ("note", "CASE WHEN amount = 1003 THEN note ELSE 'shut' END"),
];
const QUERY_OF_U: &[(&str, &str)] = &[
    ("id", "id"),
    ("t_id", "t_id"),
    ("label", "'label'"),
    ("rank", "rank"),
];

/// Puts a view over each of two tables, under the names that statements have.
fn viewed(
    world: &World,
    governed: Governed,
    (t, u): (DatasetId, DatasetId),
) -> (DatasetId, DatasetId) {
    let view = |name: &str, base: &DatasetId, all: &[(&str, &str)]| {
        let DatasetId {
            depot,
            collection,
            name: table,
        } = base;
        let (query, filter) = match name {
            "t" => (QUERY_OF_T, " WHERE tenant = 'a'"),
            _ => (QUERY_OF_U, " WHERE region = 'EMEA'"),
        };
        let (columns, items, filter) = if governed == Governed::Queries {
            let typed = query.iter().map(|(name, _)| {
                let column_type = all.iter().find(|(column, _)| column == name).unwrap().1;
                let is_number = *name == "born";
                (*name, if is_number { "bigint" } else { column_type })
            });
            let items = query
                .iter()
                .map(|(name, value)| format!("{value} AS \"{name}\""));
            (typed.collect::<Vec<_>>(), items.collect::<Vec<_>>(), filter)
        } else {
            // What the reader sees nothing of below the view would make it unreadable.
            let is_below = matches!(governed, Governed::Below | Governed::Definer);
            let columns = all.iter().copied();
            let columns: Vec<_> = columns
                .filter(|(column, _)| !is_below || !["ssn", "region"].contains(column))
                .collect();
            let items = columns.iter();
            let items = items.map(|(column, _)| format!("\"b\".\"{column}\" AS \"{column}\""));
            let items = items.collect();
            (columns, items, "")
        };
        let items = items.join(", ");
        let sql = format!(
            "SELECT {items} FROM \"{depot}\".\"{collection}\".\"{table}\" AS \"b\"{filter}"
        );
        let id = DatasetId::new("lake", "main", name);
        let definer = governed.definer();
        let is_lent = definer.is_some();
        world
            .catalog
            .add(&id, &columns, DatasetSource::View { sql, definer });
        if is_lent {
            world.accounts.put(DEFINER, &[]);
            world
                .desk
                .of("alice")
                .deny(Action::Select, &base.to_string());
        }
        id
    };
    let views = (view("t", &t, T), view("u", &u, U));
    match governed {
        Governed::Below | Governed::Definer => (t, u),
        Governed::Views | Governed::DefinerViews | Governed::Queries => views,
    }
}

/// How a world takes up a table.
type Fill<'a> = &'a dyn Fn(&World, &str, &[(&str, &str)], Vec<ArrayRef>) -> DatasetId;

fn filled(world: &World, number: i64, fill: Fill<'_>, [t, u]: [&str; 2]) -> (DatasetId, DatasetId) {
    let rows = rows(number);
    let ids: Int64Array = rows.iter().map(|row| Some(row.id)).collect();
    let amounts: Int64Array = rows.iter().map(Row::amount).collect();
    let born: Date32Array = rows.iter().map(|row| Some(row.born())).collect();
    let salaries: Int64Array = rows.iter().map(|row| Some(row.salary())).collect();
    let t = fill(
        world,
        t,
        T,
        vec![
            Arc::new(ids),
            texts(rows.iter().map(|row| row.tenant().to_owned())),
            Arc::new(amounts),
            texts(rows.iter().map(Row::memo)),
            Arc::new(born),
            Arc::new(salaries),
            texts(rows.iter().map(Row::email)),
            texts(rows.iter().map(Row::note)),
            texts(rows.iter().map(Row::ssn)),
        ],
    );
    let others = others(number);
    let ids: Int64Array = others.iter().map(|other| Some(other.0)).collect();
    let t_ids: Int64Array = others.iter().map(|other| Some(other.1)).collect();
    let ranks: Int64Array = others.iter().map(|other| other.3).collect();
    let u = fill(
        world,
        u,
        U,
        vec![
            Arc::new(ids),
            Arc::new(t_ids),
            texts(others.iter().map(|other| other.2.clone())),
            Arc::new(ranks),
            texts(others.iter().map(|other| other.4.to_owned())),
        ],
    );
    (t, u)
}

/// Where a server has the tables of a world.
fn space(number: i64) -> String {
    format!("twin{number}")
}

fn sourced(
    world: &World,
    back_end: &BackEnd,
    number: i64,
    names: [&str; 2],
) -> (DatasetId, DatasetId) {
    let space = space(number);
    let fill = |world: &World, name: &str, columns: &[(&str, &str)], arrays| {
        back_end.fill(world, &space, name, columns, arrays)
    };
    filled(world, number, &fill, names)
}

fn govern(world: &World, t: &DatasetId, u: &DatasetId) {
    govern_for(world.desk.everybody(), t, u);
}

/// The same, of the definer alone.
fn govern_definer(world: &World, t: &DatasetId, u: &DatasetId) {
    govern_for(world.desk.of(DEFINER), t, u);
}

fn govern_nobody(_: &World, _: &DatasetId, _: &DatasetId) {}

fn govern_for(desk: Telling<'_>, t: &DatasetId, u: &DatasetId) {
    let masked = |mask: &str| CellOutcome::Masked(Mask::parse(mask).unwrap());
    desk.rows(t, equals("tenant", "a"));
    desk.mask(t, "born", "bucket_date(precision = 'month')");
    desk.mask(t, "salary", "bucket_number(buckets = [0, 1000, 2000])");
    desk.mask(t, "email", "partial(first = 1)");
    desk.cells(
        t,
        "note",
        vec![
            when(equals("amount", 1_003), CellOutcome::Plain),
            always(masked("redact(replacement = 'shut')")),
        ],
    );
    desk.absent(t, "ssn");
    desk.rows(u, equals("region", "EMEA"));
    desk.mask(u, "label", "constant(value = 'label')");
    desk.absent(u, "region");
}

/// More entities than a world has: of no group may anything be told.
const NO_GROUP: &str = "min_group(size = 1000, key = 'id')";

/// Nothing of the tables is hidden or masked, and all of them leaves in aggregates of groups that are larger than they are.
fn withhold(world: &World, t: &DatasetId, u: &DatasetId) {
    for table in [t, u] {
        world.desk.oblige_on(&table.to_string(), NO_GROUP);
    }
}

/// What the caller may know of the two tables.
type Govern = fn(&World, &DatasetId, &DatasetId);

/// The two worlds.
pub(crate) struct Twins {
    left: World,
    right: World,
}

/// How a statement ended in both worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The same rows.
    Answered,
    /// The same error.
    Refused,
}

impl Twins {
    fn new(fill: impl Fn(&World, i64) -> (DatasetId, DatasetId), govern: Govern) -> Self {
        let [left, right] = [1, 2].map(|number| {
            // One partition: several would answer in an order of chance.
            let world = World::with(QueryConfig {
                partitions: 1,
                ..QueryConfig::default()
            });
            let (t, u) = fill(&world, number);
            govern(&world, &t, &u);
            world.csv(
                "v",
                &[("id", "bigint"), ("word", "text")],
                "1,one\n2,two\n3,\n",
            );
            world
        });
        Self { left, right }
    }

    /// Over tables of a kind of source; a database of its own for each world.
    pub(crate) fn of(back_end: &BackEnd) -> Self {
        Self::new(
            |world, number| sourced(world, back_end, number, NAMES),
            govern,
        )
    }

    /// Over such tables, of which nothing may be told, as each of their groups is too small.
    pub(crate) fn withheld(back_end: &BackEnd) -> Self {
        Self::new(
            |world, number| sourced(world, back_end, number, NAMES),
            withhold,
        )
    }

    /// Over views of tables of a kind of source.
    pub(crate) fn of_views(back_end: &BackEnd, governed: Governed) -> Self {
        let views = |world: &World, number| {
            viewed(world, governed, sourced(world, back_end, number, BASES))
        };
        let rules = match governed {
            Governed::Below | Governed::Views | Governed::DefinerViews => govern,
            Governed::Definer => govern_definer,
            Governed::Queries => govern_nobody,
        };
        Self::new(views, rules)
    }

    /// Over tables that are stored here, and so can be written.
    pub(crate) fn of_stored() -> Self {
        let tables = |world: &World, number| filled(world, number, &World::stored, NAMES);
        Self::new(tables, govern)
    }

    /// Runs a statement in both worlds, as [`Twins::compare`], and sees to it that in each of them hidden
    /// rows stay as they are and nothing masked gets another value.
    pub(crate) async fn compare_write(&self, sql: &str) -> Result<End, String> {
        let before = [&self.left, &self.right].map(Hidden::of);
        let end = self.compare(sql).await?;
        for (world, before) in [&self.left, &self.right].into_iter().zip(before) {
            before
                .check(&Hidden::of(world))
                .map_err(|what| format!("{sql}\n  {what}"))?;
        }
        // Parts of a table are read in an order of chance.
        for (table, keys) in [("t", "1, 2, 3, 4, 5, 6, 7, 8"), ("u", "1, 2, 3, 4")] {
            self.compare(&format!("SELECT * FROM {table} ORDER BY {keys}"))
                .await
                .map_err(|leak| format!("{sql}\n  leaves behind: {leak}"))?;
        }
        Ok(end)
    }

    /// Runs a statement in both worlds; what told them apart, if anything did. Where two branches fail that run side
    /// by side, chance has the fault of one of them told: each world may be asked again.
    pub(crate) async fn compare(&self, sql: &str) -> Result<End, String> {
        const DRAWS: usize = 64;
        let (mut left, mut right) = (Vec::new(), Vec::new());
        while left.len() < DRAWS {
            left.push(seen(&self.left, sql).await);
            right.push(seen(&self.right, sql).await);
            let are_refused = left
                .iter()
                .chain(&right)
                .all(|(end, _)| *end == End::Refused);
            if !are_refused || left.iter().any(|one| right.contains(one)) {
                break;
            }
        }
        let Some((end, _)) = left.iter().find(|one| right.contains(one)) else {
            return Err(format!(
                "{sql}\n  one world:   {:?}\n  the other:   {:?}",
                left[0], right[0]
            ));
        };
        let mut texts = left.iter().chain(&right).map(|(_, text)| text);
        match texts.find(|text| text.contains(CANARY) && !sql.contains(CANARY)) {
            Some(text) => Err(format!("{sql}\n  a world: {text}")),
            None => Ok(*end),
        }
    }

    /// What a source is asked to make for a statement, if anything.
    pub(crate) async fn made_there(&self, sql: &str) -> String {
        // Nothing of a statement that is refused.
        self.left.made_there(sql).await.unwrap_or_default()
    }

    /// As [`Twins::compare`], and compares the engine's plans of a statement that was answered.
    pub(crate) async fn compare_with_plan(&self, sql: &str) -> Result<End, String> {
        /// The engine numbers the columns of some plans by chance: each world may draw again.
        const DRAWS: usize = 16;
        let end = self.compare(sql).await?;
        if end == End::Refused {
            return Ok(end);
        }
        // Where a server has both worlds, each is in a space of its own, which statements to it name.
        let alike = |plan: String| plan.replace(&space(1), "twin").replace(&space(2), "twin");
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for _ in 0..DRAWS {
            left.push(alike(plan(&self.left, sql).await));
            right.push(alike(plan(&self.right, sql).await));
            if left.iter().any(|plan| right.contains(plan)) {
                return Ok(end);
            }
        }
        Err(format!(
            "{sql}\n  one plan:    {}\n  the other:   {}",
            left[0], right[0]
        ))
    }
}

/// What the caller sees nothing of: hidden rows, and the raw values under masks.
struct Hidden {
    rows: Vec<String>,
    masked: BTreeSet<String>,
}

impl Hidden {
    fn of(world: &World) -> Self {
        let (t, u) = (
            DatasetId::new("lake", "main", "t"),
            DatasetId::new("lake", "main", "u"),
        );
        let (mut rows, mut masked) = (Vec::new(), BTreeSet::new());
        for row in world.raw(&t) {
            let cells: Vec<&str> = row.split('|').collect();
            if cells[1] == "a" {
                masked.insert(cells[4..].join("|"));
            } else {
                rows.push(row);
            }
        }
        for row in world.raw(&u) {
            let cells: Vec<&str> = row.split('|').collect();
            if cells[4] == "EMEA" {
                masked.insert(cells[2].to_owned());
            } else {
                rows.push(row);
            }
        }
        rows.sort();
        Self { rows, masked }
    }

    /// Values that the caller brings himself have no canary.
    fn check(&self, after: &Self) -> Result<(), String> {
        if self.rows != after.rows {
            return Err(format!(
                "hidden rows were {:?} and are {:?}",
                self.rows, after.rows
            ));
        }
        let mut changed = after.masked.difference(&self.masked);
        match changed.find(|values| values.contains(CANARY)) {
            Some(values) => Err(format!("masked values are now {values}")),
            None => Ok(()),
        }
    }
}

/// All that a caller can see of a statement, its time apart.
async fn seen(world: &World, sql: &str) -> (End, String) {
    world.log.take();
    let ran = world.layer.run(world.request(sql)).await;
    let (end, mut text) = match &ran {
        Ok(answer) => (End::Answered, answered(answer)),
        Err(fault) => (End::Refused, refused(fault)),
    };
    // What those read who may read the log.
    for entry in world.log.take() {
        let mut facts = entry.facts;
        facts.remove("latency_us");
        text.push_str(&format!("{} {} {facts:?}", entry.reason, entry.resource));
    }
    (end, text)
}

/// The engine's plan, without folders and names of files that chance gives.
async fn plan(world: &World, sql: &str) -> String {
    let plan = world.layer.physical_plan(&world.request(sql)).await;
    let plan = plan.unwrap_or_else(|fault| refused(&fault));
    let folder = world.folder.path().display().to_string();
    let plan = plan.replace(folder.trim_start_matches('/'), "");
    let parts = Regex::new("part-[0-9a-f-]+|[0-9]{6}-[0-9a-f]{64}").unwrap();
    parts.replace_all(&plan, "part").into_owned()
}

fn answered(answer: &QueryAnswer) -> String {
    let QueryAnswer {
        columns,
        chunks,
        row_count,
        is_truncated,
        certificate,
        receipt: _,
    } = answer;
    let rows = String::from_utf8_lossy(&chunks.concat()).into_owned();
    format!("{columns:?} {rows} {row_count} {is_truncated} {certificate:?}")
}

fn refused(fault: &Fault) -> String {
    format!("{fault:?}")
}
