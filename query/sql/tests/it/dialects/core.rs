//! Statements of the common core mean the same in every dialect.

use dataos_sql::Dialect;

use crate::fixture::run_in;

/// Statements that are made and compared.
const STATEMENTS: u64 = 500;
/// Levels of an expression.
const DEPTH_MAX: u32 = 4;

/// Statements from a seed.
struct Maker(u64);

impl Maker {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }

    fn number(&mut self, depth: u32) -> String {
        if depth == 0 {
            return self
                .one(&["p.id", "c.id", "amount", "7", "2.50", "customer_id"])
                .to_owned();
        }
        let depth = depth - 1;
        match self.below(6) {
            0 | 1 => {
                let operator = self.one(&["+", "-", "*"]);
                format!("{} {operator} {}", self.number(depth), self.number(depth))
            }
            2 => format!("({})", self.number(depth)),
            3 => format!("coalesce({}, {})", self.number(depth), self.number(depth)),
            4 => format!(
                "case when {} then {} else {} end",
                self.condition(depth),
                self.number(depth),
                self.number(depth)
            ),
            _ => format!("CAST({} AS bigint)", self.one(&["amount", "p.id"])),
        }
    }

    fn condition(&mut self, depth: u32) -> String {
        let less = depth.saturating_sub(1);
        match self.below(if depth == 0 { 5 } else { 9 }) {
            0 => {
                let operator = self.one(&["=", "<>", "<", ">=", ">", "<="]);
                format!("{} {operator} ({})", self.number(less), self.number(less))
            }
            1 => format!("status {} 'a%_b'", self.one(&["like", "NOT LIKE"])),
            2 => format!("c.name {} null", self.one(&["is", "is not"])),
            3 => format!("({}) between 1 and 9", self.number(less)),
            4 => format!("p.id {} (1, 2, 3)", self.one(&["in", "not in"])),
            5 | 6 => {
                let operator = self.one(&["and", "or", "AND"]);
                format!(
                    "{} {operator} {}",
                    self.condition(less),
                    self.condition(less)
                )
            }
            7 => format!("not ({})", self.condition(less)),
            _ => format!(
                "exists (select 1 from hr.main.people b where b.id = {})",
                self.number(0)
            ),
        }
    }

    fn statement(&mut self) -> String {
        let item = self.number(DEPTH_MAX);
        let join = self.one(&["join", "left join", "inner join"]);
        let filter = self.condition(DEPTH_MAX);
        let order = self.one(&[
            "",
            " order by 1 nulls first",
            " order by x desc nulls last limit 5",
        ]);
        let group = self.below(3) == 0;
        let from = format!("from purchases as p {join} customers c on p.customer_id = c.id");
        if group {
            return format!(
                "select count(*) as n, max(amount) as x {from} where {filter} group by c.region{order}"
            );
        }
        let distinct = self.one(&["", "distinct "]);
        match self.below(3) {
            0 => format!("with w as (select {item} as x {from}) select {distinct}x from w{order}"),
            1 => format!("select {distinct}{item} as x {from} where {filter}{order}"),
            _ => format!(
                "select d.x from (select {item} as x {from} where {filter}) d union all select 1 as x{order}"
            ),
        }
    }
}

#[test]
fn the_same_statement_is_the_same_tree() {
    let mut maker = Maker(20_261_128);
    let mut bound = 0;
    for _ in 0..STATEMENTS {
        let sql = maker.statement();
        let expected = run_in(Dialect::DataFusion, &sql);
        bound += u32::from(expected.is_ok());
        for dialect in [Dialect::Ansi, Dialect::Postgres, Dialect::MySql] {
            match (&expected, run_in(dialect, &sql)) {
                (Ok(expected), Ok(found)) => {
                    assert_eq!(expected.kind, found.kind, "{dialect:?}: {sql}");
                    assert_eq!(expected.emit(), found.emit(), "{dialect:?}: {sql}");
                    assert_eq!(expected.columns, found.columns, "{dialect:?}: {sql}");
                    assert_eq!(expected.tables, found.tables, "{dialect:?}: {sql}");
                }
                (Err(expected), Err(found)) => assert_eq!(*expected, found, "{sql}"),
                (expected, found) => panic!("{dialect:?}: {sql}\n{expected:?}\n{found:?}"),
            }
        }
    }
    assert!(u64::from(bound) > STATEMENTS / 2, "{bound}");
}
