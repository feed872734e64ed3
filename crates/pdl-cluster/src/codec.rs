//! Serialisation of [`TileExec`] in a plan, registered with the client, the scheduler and every
//! executor.

use std::fmt;
use std::sync::Arc;

use ballista_core::serde::BallistaPhysicalExtensionCodec;
use datafusion::error::Result as EngineResult;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};

use crate::error::ClusterError;
use crate::job::Job;
use crate::tile_exec::{ExecutorHost, TileExec};

/// First byte of an encoded node: a [`TileExec`], or a node of Ballista.
const OURS: u8 = 1;
const BALLISTAS: u8 = 0;

/// The job in the bytes of an encoded [`TileExec`].
///
/// # Errors
/// [`ClusterError::InvalidPlan`] for another node, and the errors of [`Job::decode`].
pub fn job_in_node(bytes: &[u8]) -> Result<Job, ClusterError> {
    match bytes {
        [OURS, job @ ..] => Job::decode(job),
        _ => Err(ClusterError::InvalidPlan { problem: "it holds an unknown node".to_owned() }),
    }
}

/// Encodes [`TileExec`] and delegates all other nodes to Ballista.
#[derive(Default)]
pub struct TileCodec {
    ballista: BallistaPhysicalExtensionCodec,
    /// Present on an executor only.
    host: Option<Arc<ExecutorHost>>,
}

impl TileCodec {
    /// The codec of an executor, whose nodes can run.
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
    ) -> EngineResult<Arc<dyn ExecutionPlan>> {
        match (bytes, inputs) {
            ([OURS, ..], [input]) => {
                let job = Arc::new(job_in_node(bytes)?);
                Ok(Arc::new(TileExec::new(job, Arc::clone(input), self.host.clone())))
            }
            ([BALLISTAS, node @ ..], _) => self.ballista.try_decode(node, inputs, context, converter),
            _ => Err(ClusterError::InvalidPlan { problem: "it holds an unknown node".to_owned() }.into()),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        bytes: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> EngineResult<()> {
        if let Some(tiles) = node.downcast_ref::<TileExec>() {
            bytes.push(OURS);
            bytes.extend(tiles.job.encode()?);
            return Ok(());
        }
        bytes.push(BALLISTAS);
        self.ballista.try_encode(node, bytes, converter)
    }
}
