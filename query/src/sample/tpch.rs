//! The eight tables of TPC-H as Parquet files.

use std::{fs::File, path::Path};

use dataos_model::fault::Fault;
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen_arrow::{
    CustomerArrow, LineItemArrow, NationArrow, OrderArrow, PartArrow, PartSuppArrow,
    RecordBatchIterator, RegionArrow, SupplierArrow,
};

/// Rows of a row group; small enough that a filter has groups to skip at the scale of a demo.
const ROW_GROUP_ROWS: usize = 128 * 1024;

/// Writes `region.parquet` .. `lineitem.parquet` into `folder`, at scale factor `scale` (1 is about
/// 6 million line items); the tables with their row counts. Same scale, same bytes.
///
/// # Errors
/// A scale that is not positive, or a folder that cannot be written.
pub fn write_tpch(folder: &Path, scale: f64) -> Result<Vec<(&'static str, u64)>, Fault> {
    if !(scale.is_finite() && scale > 0.0) {
        return Err(Fault::invalid("the scale factor must be above 0"));
    }
    let write = |table: &'static str,
                 rows: &mut dyn RecordBatchIterator|
     -> Result<(&'static str, u64), Fault> {
        Ok((
            table,
            write_table(&folder.join(format!("{table}.parquet")), rows)?,
        ))
    };
    Ok(vec![
        write(
            "region",
            &mut RegionArrow::new(RegionGenerator::new(scale, 1, 1)),
        )?,
        write(
            "nation",
            &mut NationArrow::new(NationGenerator::new(scale, 1, 1)),
        )?,
        write(
            "supplier",
            &mut SupplierArrow::new(SupplierGenerator::new(scale, 1, 1)),
        )?,
        write(
            "customer",
            &mut CustomerArrow::new(CustomerGenerator::new(scale, 1, 1)),
        )?,
        write("part", &mut PartArrow::new(PartGenerator::new(scale, 1, 1)))?,
        write(
            "partsupp",
            &mut PartSuppArrow::new(PartSuppGenerator::new(scale, 1, 1)),
        )?,
        write(
            "orders",
            &mut OrderArrow::new(OrderGenerator::new(scale, 1, 1)),
        )?,
        write(
            "lineitem",
            &mut LineItemArrow::new(LineItemGenerator::new(scale, 1, 1)),
        )?,
    ])
}

fn write_table(path: &Path, batches: &mut dyn RecordBatchIterator) -> Result<u64, Fault> {
    let unwritable = || Fault::unavailable(format!("`{}` cannot be written", path.display()));
    let file = File::create(path).map_err(|_| unwritable())?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .build();
    let schema = std::sync::Arc::clone(batches.schema());
    let mut writer =
        ArrowWriter::try_new(file, schema, Some(properties)).map_err(|_| unwritable())?;
    let mut row_count = 0;
    for batch in batches {
        row_count += batch.num_rows() as u64;
        writer.write(&batch).map_err(|_| unwritable())?;
    }
    writer.close().map_err(|_| unwritable())?;
    Ok(row_count)
}
