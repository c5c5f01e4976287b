use super::*;

#[test]
fn sums_wrap_like_those_of_64_bits() {
    for (sum, expected) in [
        (0, 0),
        (-1, -1),
        (i128::from(i64::MAX) + 1, i64::MIN),
        (i128::from(i64::MIN) - 1, i64::MAX),
        (i128::from(i64::MAX) * 3, i64::MAX.wrapping_mul(3)),
        (i128::from(i64::MIN) * 5, i64::MIN.wrapping_mul(5)),
    ] {
        assert_eq!(wrapped(sum), Cell::Int(expected), "{sum}");
    }
}

#[test]
fn means_are_cut_off_and_not_rounded() {
    for (sum, count, expected) in [
        (0, 3, Ok(0)),
        (2, 3, Ok(6_666)),
        (-2, 3, Ok(-6_666)),
        (-1, 20_000, Ok(0)),
        (10_i128.pow(34) - 1, 1, Ok(10_i128.pow(38) - 10_000)),
        (i128::MAX / 100, 1, Err(TOO_LARGE)),
    ] {
        assert_eq!(mean(sum, count), expected.map(Cell::Decimal), "{sum}");
    }
    for (sum, count, expected) in [
        (0, 3, Ok(0.0)),
        (1, 3, Ok(1.0 / 3.0)),
        (-(1 << 53), 1, Ok(-9_007_199_254_740_992.0)),
        ((1 << 53) + 1, 1, Err(TOO_LARGE)),
    ] {
        assert_eq!(mean_of_integers(sum, count), expected.map(Cell::Double));
    }
}

fn of_column(function: Function, column_type: ColumnType) -> Total {
    let column = Column {
        name: "x".to_owned(),
        column_type,
        is_nullable: true,
    };
    let of = Of {
        table: 0,
        what: column,
    };
    Total::Of(function, Term::Column(of))
}

fn decimal(precision: u8, scale: u8) -> ColumnType {
    ColumnType::Decimal { precision, scale }
}

#[test]
fn totals_have_the_types_of_the_engine_or_stay_here() {
    for (function, of, expected) in [
        (
            Function::Sum,
            ColumnType::Int(16),
            Some(ColumnType::Int(64)),
        ),
        (Function::Sum, decimal(12, 2), Some(decimal(22, 2))),
        (Function::Sum, decimal(38, 3), Some(decimal(38, 3))),
        (Function::Sum, ColumnType::Float(64), None),
        (
            Function::Mean,
            ColumnType::Int(32),
            Some(ColumnType::Float(64)),
        ),
        (Function::Mean, decimal(12, 2), Some(decimal(16, 6))),
        (Function::Mean, decimal(38, 34), Some(decimal(38, 38))),
        (Function::Mean, decimal(38, 35), None),
        (Function::Mean, ColumnType::Float(64), None),
        (Function::Mean, ColumnType::Date, None),
        (Function::Least, ColumnType::Date, Some(ColumnType::Date)),
        (
            Function::Present,
            ColumnType::Text,
            Some(ColumnType::Int(64)),
        ),
        (
            Function::Present,
            ColumnType::Other("point".to_owned()),
            None,
        ),
    ] {
        let output = of_column(function, of.clone()).output();
        let found = output.map(|output| output.what.column_type);
        assert_eq!(found, expected, "{function:?} of {of}");
    }
}

#[test]
fn sums_without_room_for_all_rows_are_tested() {
    let nines = |count| 10_i128.pow(count) - 1;
    for (function, of, expected) in [
        (Function::Sum, decimal(28, 2), None),
        (Function::Sum, decimal(29, 2), Some((nines(38), 2))),
        (Function::Mean, decimal(24, 2), None),
        (Function::Mean, decimal(25, 2), Some((nines(34), 2))),
        (Function::Sum, ColumnType::Int(64), None),
        (Function::Mean, ColumnType::Int(64), None),
        (Function::Greatest, decimal(38, 2), None),
    ] {
        let found = of_column(function, of.clone()).sum_max();
        assert_eq!(found, expected, "{function:?} of {of}");
    }
}

#[test]
fn what_comes_in_another_form_is_no_total() {
    let none = || Err("nothing is asked for");
    assert_eq!(Arrival::Whole.made(Cell::Int(7), none), Ok(Cell::Int(7)));
    assert_eq!(Arrival::Mean(2).made(Cell::Null, none), Ok(Cell::Null));
    assert_eq!(Arrival::Integer.made(Cell::Int(7), none), Err(OTHER_FORM));
    for (count, expected) in [
        (Cell::Int(2), Ok(Cell::Decimal(35_000))),
        (Cell::Int(0), Err(OTHER_FORM)),
        (Cell::Null, Err(OTHER_FORM)),
    ] {
        let made = Arrival::Mean(2).made(Cell::Decimal(7), || Ok(count));
        assert_eq!(made, expected);
    }
}
