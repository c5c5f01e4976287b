use super::*;

fn column(column_type: ColumnType) -> Term<Column> {
    let what = Column {
        name: "x".to_owned(),
        column_type,
        is_nullable: true,
    };
    Term::Column(Of { table: 0, what })
}

fn decimal(precision: u8, scale: u8) -> ColumnType {
    ColumnType::Decimal { precision, scale }
}

fn calculated(left: Term<Column>, operation: Operation, right: Term<Column>) -> Term<Column> {
    Term::Calculated(operation, Box::new([left, right]))
}

fn cast(term: Term<Column>, column_type: ColumnType) -> Term<Column> {
    Term::Cast(Box::new(term), column_type)
}

/// The type and the range that is known, and how many products are tested.
fn check(term: &Term<Column>, expected: Option<(ColumnType, [i128; 2], usize)>) {
    let mut tested = Vec::new();
    let found = term.numbers(&mut tested);
    let found = found.map(|numbers| {
        let units = [*numbers.units.start(), *numbers.units.end()];
        (numbers.column_type, units, tested.len())
    });
    assert_eq!(found, expected, "{term:?}");
}

#[test]
fn decimals_have_the_types_of_the_engine_and_the_digits_of_their_columns() {
    let price = || column(decimal(12, 2));
    let one = || Term::Literal(1, decimal(20, 0));
    let most = 10_i128.pow(12) - 1;
    let less = || calculated(one(), Operation::Difference, price());
    check(&less(), Some((decimal(23, 2), [100 - most, 100 + most], 0)));
    let product = calculated(price(), Operation::Product, less());
    let range = most * (most + 100);
    check(&product, Some((decimal(36, 4), [-range, range], 0)));
    // A product of three could have 45 digits, and none of those that are tested has.
    let wide = || column(decimal(15, 2));
    let less = calculated(one(), Operation::Difference, wide());
    let product = calculated(wide(), Operation::Product, less);
    let more = calculated(one(), Operation::Sum, wide());
    let product = calculated(product, Operation::Product, more);
    let all = 10_i128.pow(38) - 1;
    check(&product, Some((decimal(38, 6), [-all, all], 1)));
    // What is added to such a one could have more.
    check(&calculated(product, Operation::Sum, one()), None);
}

#[test]
fn nothing_is_known_of_decimals_that_could_leave_their_type() {
    let widest = || column(decimal(38, 0));
    let scaled = || column(decimal(38, 20));
    for operation in [Operation::Sum, Operation::Difference] {
        check(&calculated(widest(), operation, widest()), None);
        check(
            &calculated(column(decimal(30, 0)), operation, scaled()),
            None,
        );
    }
    check(&calculated(scaled(), Operation::Product, scaled()), None);
    let product = calculated(widest(), Operation::Product, widest());
    let all = 10_i128.pow(38) - 1;
    check(&product, Some((decimal(38, 0), [-all, all], 1)));
}

#[test]
fn integers_stay_within_their_type_or_here() {
    let wide = |bits| cast(column(ColumnType::Int(bits)), ColumnType::Int(64));
    let product = calculated(wide(16), Operation::Product, wide(32));
    let corner = 1_i128 << 46;
    let least = i128::from(i16::MIN) * i128::from(i32::MAX);
    check(&product, Some((ColumnType::Int(64), [least, corner], 0)));
    check(&calculated(wide(64), Operation::Sum, wide(16)), None);
    check(&calculated(wide(32), Operation::Product, wide(64)), None);
    let narrow = || column(ColumnType::Int(16));
    check(&calculated(narrow(), Operation::Sum, narrow()), None);
    // The least has no counterpart.
    let negative = Term::Literal(-1, ColumnType::Int(16));
    check(&calculated(narrow(), Operation::Product, negative), None);
    // Of other types the engine makes one first.
    check(&calculated(narrow(), Operation::Sum, wide(16)), None);
}

#[test]
fn casts_lose_nothing() {
    let all = |digits| 10_i128.pow(digits) - 1;
    for (from, to, expected) in [
        (decimal(12, 2), decimal(14, 4), Some(all(12) * 100)),
        (decimal(12, 2), decimal(13, 4), None),
        (decimal(12, 2), decimal(20, 1), None),
        (ColumnType::Int(16), decimal(5, 0), Some(32_768)),
        (ColumnType::Int(64), decimal(20, 0), Some(1 << 63)),
        (ColumnType::Int(64), decimal(20, 2), None),
        (ColumnType::Int(32), ColumnType::Int(16), None),
        (decimal(4, 0), ColumnType::Int(64), None),
        (decimal(4, 0), ColumnType::Float(64), None),
        (ColumnType::Int(16), ColumnType::Float(64), None),
        (ColumnType::Text, ColumnType::Int(64), None),
        (ColumnType::Bool, ColumnType::Int(64), None),
    ] {
        let numbers = cast(column(from.clone()), to.clone()).numbers(&mut Vec::new());
        let found = numbers.map(|numbers| numbers.units.start().abs());
        assert_eq!(found, expected, "{from} as {to}");
    }
}

#[test]
fn digits_are_those_that_a_database_has_for_all_numbers() {
    let one = Term::Literal(1, decimal(20, 0));
    let less = calculated(one, Operation::Difference, column(decimal(12, 2)));
    let (whole, scale) = (11, 2);
    assert_eq!(less.digits(), Digits { whole, scale });
    let product = calculated(less, Operation::Product, column(ColumnType::Int(64)));
    let (whole, scale) = (31, 2);
    assert_eq!(product.digits(), Digits { whole, scale });
    let literal = Term::Literal(-5, decimal(3, 2));
    let (whole, scale) = (1, 2);
    assert_eq!(literal.digits(), Digits { whole, scale });
}
