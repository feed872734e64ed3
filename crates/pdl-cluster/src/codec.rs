//! How our node travels in a plan; registered with the client, the scheduler and every executor.

use std::fmt;
use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::job::Job;
use crate::tile_exec::{ExecutorHost, TileExec};

/// First byte of a node of ours, and of one of Ballista's.
const OURS: u8 = 1;
const BALLISTAS: u8 = 0;

/// Knows [`TileExec`] and hands everything else on to Ballista.
#[derive(Default)]
pub struct TileCodec {
    ballista: BallistaPhysicalExtensionCodec,
    /// Where tiles are computed, on an executor.
    host: Option<Arc<ExecutorHost>>,
}

impl TileCodec {
    /// For an executor.
    pub fn on(host: ExecutorHost) -> Self {
        Self { host: Some(Arc::new(host)), ..Self::default() }
    }
}

impl fmt::Debug for TileCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TileCodec").field("host", &self.host).finish_non_exhaustive()
    }
}

impl PhysicalExtensionCodec for TileCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (bytes, inputs) {
            ([OURS, job @ ..], [input]) => {
                let job = Job::decode(job).map_err(|e| DataFusionError::Plan(e.to_string()))?;
                Ok(Arc::new(TileExec::new(Arc::new(job), Arc::clone(input), self.host.clone())))
            }
            ([BALLISTAS, rest @ ..], _) => self.ballista.try_decode(rest, inputs, context, converter),
            _ => Err(DataFusionError::Plan(
                "the plan holds a node that pdl-cluster does not know: run the same pdl-cluster on all machines"
                    .to_owned(),
            )),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if let Some(tiles) = node.downcast_ref::<TileExec>() {
            bytes.push(OURS);
            bytes.extend(tiles.job.encode().map_err(|e| DataFusionError::Plan(e.to_string()))?);
            return Ok(());
        }
        bytes.push(BALLISTAS);
        self.ballista.try_encode(node, bytes, converter)
    }
}
