//! Tables on a disk, written and read by the crate `parquet` as if it were a store of its own.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::{AsyncFileReader, MetadataSuffixFetch};
use parquet::arrow::{AsyncArrowWriter, ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::properties::WriterProperties;
use switchboard_core::{Environment, Manager, Registry, Settings};

use crate::{Disks, Mount};

/// A file in a store, as that crate shows how it is read.
struct Reader {
    store: Arc<dyn ObjectStore>,
    path: Path,
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(async { self.store.get_range(&self.path, range).await.map_err(external) })
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        Box::pin(async move { self.store.get_ranges(&self.path, &ranges).await.map_err(external) })
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        Box::pin(async move {
            let reader = ParquetMetaDataReader::new().with_arrow_reader_options(options);
            reader.load_via_suffix_and_finish(self).await.map(Arc::new)
        })
    }
}

impl MetadataSuffixFetch for &mut Reader {
    fn fetch_suffix(&mut self, suffix: usize) -> BoxFuture<'_, Result<Bytes>> {
        Box::pin(async move {
            let end = GetOptions::new().with_range(Some(GetRange::Suffix(suffix as u64)));
            let got = self.store.get_opts(&self.path, end).await.map_err(external)?;
            got.bytes().await.map_err(external)
        })
    }
}

#[tokio::test]
async fn a_table_is_written_to_a_disk_and_read_from_it_column_by_column() {
    let disks = Manager::<Disks>::new(Registry::with_built_ins().unwrap(), &Environment::new());
    let disks = disks.unwrap();
    let settings = Settings::new().with("driver", "memory").with("part_size", "64KiB");
    disks.configure("lake", &settings).unwrap();
    let disk = disks.get("lake").await.unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(Mount::new(disk.scope("tables").unwrap()));
    let path = Path::from("sales/1.parquet");

    // Large enough to come in parts, small enough in its groups for several ranges.
    let numbers: Vec<i64> = (0..1_000_000).collect();
    let names: Vec<_> = numbers.iter().map(|number| format!("sale {}", number % 97)).collect();
    let columns: [(&str, ArrayRef); 2] = [
        ("number", Arc::new(Int64Array::from(numbers.clone()))),
        ("name", Arc::new(StringArray::from(names))),
    ];
    let table = RecordBatch::try_from_iter(columns).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(100_000))
        .set_dictionary_enabled(false)
        .build();
    let writer = BufWriter::new(store.clone(), path.clone());
    let mut writer = AsyncArrowWriter::try_new(writer, table.schema(), Some(properties)).unwrap();
    writer.write(&table).await.unwrap();
    writer.close().await.unwrap();

    let size = disk.head("tables/sales/1.parquet").await.unwrap().size;
    assert!(size > 10 << 20, "the writer would not cut {size} bytes");
    let figures = disk.line().figures();
    let parts = figures.iter().find(|op| op.operation == "part").unwrap().succeeded;
    assert!(parts > 1, "it came whole");

    let reader = ParquetRecordBatchStreamBuilder::new(Reader { store, path }).await.unwrap();
    let first = ProjectionMask::leaves(reader.parquet_schema(), [0]);
    let batches = reader.with_projection(first).with_row_groups(vec![3, 9]).build().unwrap();
    let batches: Vec<RecordBatch> = batches.try_collect().await.unwrap();
    let read: Vec<i64> = batches
        .iter()
        .flat_map(|batch| {
            assert_eq!(batch.num_columns(), 1);
            let column = batch.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            column.values().to_vec()
        })
        .collect();
    assert_eq!(read, [&numbers[300_000..400_000], &numbers[900_000..]].concat());

    disks.close(Duration::from_secs(5)).await.into_result().unwrap();
}
