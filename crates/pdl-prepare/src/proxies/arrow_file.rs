//! Arrow IPC files that are decoded in place.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::root_as_footer;
use pdl_store::catch_panic;

/// Schema, batches and metadata of a file; the footer's metadata wins over the schema's.
pub(super) type Decoded = (SchemaRef, Vec<RecordBatch>, HashMap<String, String>);

/// Decodes an Arrow IPC file without copying its voxels; a damaged one, at which the decoder may
/// panic, is an error.
pub(super) fn decode_checked(buffer: &Buffer) -> Result<Decoded, String> {
    let decoded = catch_panic::quietly(|| decode(buffer)).ok_or("they are damaged")?;
    decoded.map_err(|error| error.to_string())
}

/// Decodes an Arrow IPC file without copying its voxels.
fn decode(buffer: &Buffer) -> Result<Decoded, ArrowError> {
    let damaged = |what: &str| ArrowError::IpcError(what.to_owned());
    let trailer = buffer.len().checked_sub(10).ok_or_else(|| damaged("the file is truncated"))?;
    let tail: [u8; 10] = buffer[trailer..].try_into().map_err(|_| damaged("the file is truncated"))?;
    let length = read_footer_length(tail)?;
    let start = trailer.checked_sub(length).ok_or_else(|| damaged("the footer is truncated"))?;
    let footer = root_as_footer(&buffer[start..trailer]).map_err(|e| damaged(&e.to_string()))?;
    let schema = Arc::new(fb_to_schema(footer.schema().ok_or_else(|| damaged("no schema"))?));
    let pairs = footer.custom_metadata().into_iter().flatten();
    let pairs = pairs.filter_map(|kv| Some((kv.key()?.to_owned(), kv.value()?.to_owned())));
    let metadata = schema.metadata().clone().into_iter().chain(pairs).collect();
    let decoder = FileDecoder::new(Arc::clone(&schema), footer.version());
    let mut batches = Vec::new();
    for block in footer.recordBatches().into_iter().flatten() {
        let [offset, body, head] =
            [block.offset(), block.bodyLength(), i64::from(block.metaDataLength())].map(usize::try_from);
        let (Ok(offset), Ok(body), Ok(head)) = (offset, body, head) else {
            return Err(damaged("a batch has a negative size"));
        };
        let length = body.saturating_add(head);
        if offset.checked_add(length).is_none_or(|end| end > start) {
            return Err(damaged("a batch reaches past the end"));
        }
        batches.extend(decoder.read_record_batch(block, &buffer.slice_with_length(offset, length))?);
    }
    Ok((schema, batches, metadata))
}
