//! Customers with personal data, all invented: a deterministic sequence, no real list of names.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use dataos_model::fault::Fault;

use crate::calendar::{date_text, timestamp_text};

const GIVEN: &[&str] = &[
    "Ada", "Bela", "Caro", "Dimo", "Edda", "Faro", "Gila", "Hano", "Ilva", "Joris", "Kalo", "Lumi",
    "Miro", "Nela", "Orin", "Pia", "Quim", "Runa", "Silo", "Tove",
];
const FAMILY: &[&str] = &[
    "Abendrot",
    "Birkental",
    "Clearbrook",
    "Dunmarsh",
    "Eichgrund",
    "Fairwater",
    "Graystone",
    "Hollowhill",
    "Icefield",
    "Juniperton",
    "Kestrelwood",
    "Lindenau",
    "Moorbach",
    "Northgate",
    "Oakridge",
    "Pinevale",
];
const REGIONS: &[(&str, &[&str])] = &[
    ("EMEA", &["DE", "FR", "GB", "ZA"]),
    ("AMER", &["US", "CA", "BR", "MX"]),
    ("APAC", &["JP", "IN", "AU", "SG"]),
];
const SEED: u64 = 0x5eed_0fda_7a05;

/// Writes `customers.csv` into `folder`: id, full_name, email, phone, region (EMEA, AMER, APAC),
/// country, birth_date, salary, signup_at, national_id. Same count, same bytes; every 40th customer
/// has no phone.
///
/// # Errors
/// A folder that cannot be written.
pub fn write_customers(folder: &Path, count: u64) -> Result<u64, Fault> {
    let path = folder.join("customers.csv");
    let unwritable = |_| Fault::unavailable(format!("`{}` cannot be written", path.display()));
    let mut file = BufWriter::new(File::create(&path).map_err(unwritable)?);
    writeln!(
        file,
        "id,full_name,email,phone,region,country,birth_date,salary,signup_at,national_id"
    )
    .map_err(unwritable)?;
    let mut draw = Draw(SEED);
    for id in 1..=count {
        writeln!(file, "{}", customer(id, &mut draw)).map_err(unwritable)?;
    }
    file.flush().map_err(unwritable)?;
    Ok(count)
}

fn customer(id: u64, draw: &mut Draw) -> String {
    let given = draw.one_of(GIVEN);
    let family = draw.one_of(FAMILY);
    let (region, countries) = draw.one_of(REGIONS);
    let country = draw.one_of(countries);
    // The domain is reserved for examples, and so is the range 555-01xx of the number.
    let email = format!(
        "{}.{}{id}@example.com",
        given.to_lowercase(),
        family.to_lowercase()
    );
    let phone = if id.is_multiple_of(40) {
        String::new()
    } else {
        format!(
            "+1-{:03}-555-01{:02}",
            200 + draw.below(700),
            draw.below(100)
        )
    };
    let birth = i64::try_from(draw.below(20_000)).unwrap_or(0) - 8_000;
    let salary = 24_000 + 500 * draw.below(300);
    let second = i64::try_from(draw.below(150_000_000)).unwrap_or(0);
    let signup = timestamp_text((1_577_836_800 + second) * 1_000_000, true);
    let national = format!("X{:04}-{:06}", draw.below(10_000), draw.below(1_000_000));
    let birth = date_text(birth);
    format!(
        "{id},{given} {family},{email},{phone},{region},{country},{birth},{salary},{signup},{national}"
    )
}

/// SplitMix64: small, fixed, and good enough for sample data.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    fn one_of<T: Copy + Default>(&mut self, items: &[T]) -> T {
        let index = self.below(items.len() as u64);
        items
            .get(usize::try_from(index).unwrap_or(0))
            .copied()
            .unwrap_or_default()
    }
}
