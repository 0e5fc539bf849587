"""Which graph ops the stock images of TensorFlow Serving have: data, from their own sources.

A server links TensorFlow's ops, `tensorflow_text:ops_lib` and the inference ops of Decision
Forests (`SUPPORTED_TENSORFLOW_OPS` in its `tensorflow_serving/model_servers/BUILD`). TensorFlow's
are not listed here: they are those of `tf.raw_ops`, less what a server's older TensorFlow has not.
That part, `NEW_OPS` and `NEW_ATTRIBUTES`, was read out of TensorFlow's wheels of each minor
version with `tests/serving/loader/list_new_ops.py`. TF-Text's list is the server's column: 2.12.1
is linked up to 2.19.1, 2.20.0 by 2.20.0.

Tables map a server's version to the names, separated by spaces, that no older one has.
"""

from __future__ import annotations

# One image of each minor version, the oldest first. (TensorFlow 2.16.2 was read for 2.16.1.)
SERVERS = (
    "2.12.1",
    "2.13.1",
    "2.14.1",
    "2.15.1",
    "2.16.1",
    "2.17.1",
    "2.18.1",
    "2.19.1",
    "2.20.0",
)
OLDEST_SERVER, NEWEST_SERVER = SERVERS[0], SERVERS[-1]

# Registered in every TensorFlow, but they call into the Python process that made the graph.
PYTHON_OPS = ("EagerPyFunc", "PyFunc", "PyFuncStateless")

# TF-Text's `ops_lib`: the first server that has it, and the ops.
TEXT_OPS = {
    "2.12.1": """
        CaseFoldUTF8 ConstrainedSequence FastBertNormalize FastWordpieceTokenizeWithOffsets
        FindSourceOffsets MaxSpanningTree NormalizeUTF8 NormalizeUTF8WithOffsetsMap PhraseTokenize
        RegexSplitWithOffsets RougeL SentenceFragments SentenceFragmentsV2 SentencepieceDetokenizeOp
        SentencepieceIdToStringOp SentencepieceOp SentencepieceStringToIdOp SentencepieceTokenizeOp
        SentencepieceTokenizeWithOffsetsOp SentencepieceVocabSizeOp SplitMergeTokenizeWithOffsets
        TFText>BoiseTagsToOffsets TFText>ByteSplitByOffsets TFText>ByteSplitWithOffsets
        TFText>FastSentencepieceDetokenize TFText>FastSentencepieceTokenize
        TFText>FastWordpieceDetokenize TFText>NgramsStringJoin TFText>OffsetsToBoiseTags
        TFText>PhraseDetokenize TFText>WhitespaceTokenizeWithOffsetsV2 TokenizerFromLogits
        UnicodeScriptTokenizeWithOffsets WhitespaceTokenizeWithOffsets WordpieceTokenizeWithOffsets
    """,
    "2.20.0": """
        TFText>RoundRobinGenerateMasks TFText>RoundRobinTrim TFText>Utf8Binarize
    """,
}

# The inference ops of Decision Forests 1.3.0; its training ops are in no server.
FOREST_OPS = """
    SimpleMLCreateModelResource SimpleMLInferenceLeafIndexOpWithHandle SimpleMLInferenceOp
    SimpleMLInferenceOpWithHandle SimpleMLLoadModelFromPath SimpleMLLoadModelFromPathWithHandle
"""

# TensorFlow's ops that servers older than the key do not have.
NEW_OPS = {
    "2.13.1": """
        CollectiveAllToAllV2 DTensorAllToAll DebugIdentityV3 RaggedFillEmptyRows
        RaggedFillEmptyRowsGrad RelayoutGrad SegmentMaxV2 SegmentMinV2 SnapshotChunkDataset
        StochasticCastToInt XlaLaunchV2
    """,
    "2.14.1": """
        Conv RelayoutLike SparseSegmentMeanGradV2 SparseSegmentSqrtNGradV2 SparseSegmentSumGradV2
        TFRecordDatasetV2
    """,
    "2.15.1": """
        DumpTensor DynamicEnqueueTPUEmbeddingRaggedTensorBatch FFTND IFFTND IRFFTND RFFTND
    """,
    "2.16.1": """
        ComputeDedupDataSize ConvertToCooTensor DatasetFingerprint
        GetMinibatchSplitsWithPhysicalReplica GetMinibatchesInCsrWithPhysicalReplica GlobalIterId
        ListSnapshotChunksDataset StoreMinibatchStatisticsInFdo TPUAnnotateTensorsWithDynamicShape
        TPUCopyWithDynamicShape XlaSparseCoreAdagrad XlaSparseCoreAdagradMomentum XlaSparseCoreAdam
        XlaSparseCoreFtrl XlaSparseCoreSgd XlaSparseDenseMatmul
        XlaSparseDenseMatmulGradWithAdagradAndCsrInput
        XlaSparseDenseMatmulGradWithAdagradMomentumAndCsrInput
        XlaSparseDenseMatmulGradWithAdamAndCsrInput XlaSparseDenseMatmulGradWithFtrlAndCsrInput
        XlaSparseDenseMatmulGradWithSgdAndCsrInput XlaSparseDenseMatmulWithCsrInput
    """,
    "2.17.1": """
        CalibrationStatisticsSaver ComputeDedupDataSizeV2 ComputeDedupDataTupleMaskV2
        ConvertToListOfSparseCoreCooTensors ConvertToSparseCoreCsrWrappedCooTensor
        FinalizeTPUEmbeddingV2 GetStatsFromListOfSparseCoreCooTensors GetTpuTaskId
        GlobalShuffleDataset IndexFlatMapDataset IteratorGetModelProto
        SortListOfSparseCoreCooTensors UpdateTaskIdAndGlobalCoreArray WeightedFlatMapDataset
        XlaRecvTPUEmbeddingActivationsV2 XlaRecvTPUEmbeddingDeduplicationDataV2
        XlaSendTPUEmbeddingGradientsV2 XlaSparseDenseMatmulGradWithAdagradAndStaticBufferSize
        XlaSparseDenseMatmulGradWithAdagradMomentumAndStaticBufferSize
        XlaSparseDenseMatmulGradWithAdamAndStaticBufferSize
        XlaSparseDenseMatmulGradWithFtrlAndStaticBufferSize
        XlaSparseDenseMatmulGradWithSgdAndStaticBufferSize XlaSparseDenseMatmulWithStaticBufferSize
    """,
    "2.18.1": """
        CheckPinned XlaSparseDenseMatmulGradWithCsrInput
    """,
    "2.20.0": """
        DecodeWebP TPUDummyInput XlaSparseActivationsUnstack
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdagradAndCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdagradMomentumAndCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithAdamAndCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithFtrlAndCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcGradWithSgdAndCsrInput
        XlaSparseDenseMatmulCustomCombinerOnTcWithCsrInput XlaSparseGradientsStack
    """,
}

# Attributes, as `Op.attribute`, that servers older than the key do not know. They load the node all
# the same, log the attribute and ignore it (tried with TensorFlow 2.12.1).
NEW_ATTRIBUTES = {
    "2.13.1": """
        DatasetCardinality.cardinality_options MergeDedupData.config SplitDedupData.config
        TensorListSetItem.resize_if_index_out_of_bounds TopKV2.Tk TopKV2.index_type
        XlaCallModule.platforms
    """,
    "2.14.1": """
        BatchFunction.low_priority_allowed_batch_sizes
        BatchFunction.low_priority_batch_timeout_micros BatchFunction.low_priority_max_batch_size
        BatchFunction.low_priority_max_enqueued_batches ConcatOffset.shape_type CopyToMesh.mesh
        XlaCallModule.disabled_checks XlaCallModule.function_list
        XlaCallModule.has_token_input_output
    """,
    "2.15.1": """
        CollectiveAllToAllV2.is_stateless CollectiveGatherV2.is_stateless
        CollectiveReduceScatterV2.is_stateless CollectiveReduceV2.is_stateless
        CustomAggregator.calibration_method CustomAggregator.initial_num_bins
        CustomAggregator.max_percentile CustomAggregator.min_percentile
        SparseSegmentMean.sparse_gradient SparseSegmentMeanWithNumSegments.sparse_gradient
        SparseSegmentSqrtN.sparse_gradient SparseSegmentSqrtNWithNumSegments.sparse_gradient
        SparseSegmentSum.sparse_gradient SparseSegmentSumWithNumSegments.sparse_gradient
        VarHandleOp.debug_name
    """,
    "2.16.1": """
        BatchMatMul.grad_x BatchMatMul.grad_y BatchMatMulV2.grad_x BatchMatMulV2.grad_y
        BatchMatMulV3.grad_x BatchMatMulV3.grad_y MatMul.grad_a MatMul.grad_b
    """,
    "2.17.1": """
        BatchFunction.mixed_priority_policy CustomAggregator.num_bins GatherNd.bad_indices_policy
    """,
    "2.18.1": """
        BatchFunction.batch_padding_policy ExperimentalMapDataset.force_synchronous
        MapDataset.force_synchronous ParallelMapDatasetV2.use_unbounded_threadpool
        ResourceScatterNdAdd.bad_indices_policy ResourceScatterNdMax.bad_indices_policy
        ResourceScatterNdMin.bad_indices_policy ResourceScatterNdSub.bad_indices_policy
        ResourceScatterNdUpdate.bad_indices_policy ScatterNd.bad_indices_policy
        ScatterNdAdd.bad_indices_policy ScatterNdMax.bad_indices_policy
        ScatterNdMin.bad_indices_policy ScatterNdNonAliasingAdd.bad_indices_policy
        ScatterNdSub.bad_indices_policy ScatterNdUpdate.bad_indices_policy
        TensorScatterAdd.bad_indices_policy TensorScatterMax.bad_indices_policy
        TensorScatterMin.bad_indices_policy TensorScatterSub.bad_indices_policy
        TensorScatterUpdate.bad_indices_policy
    """,
    "2.20.0": """
        TPUReplicateMetadata.use_shardy_partitioner XlaCallModule.use_shardy_partitioner
        XlaSparseDenseMatmulGradWithAdagradAndCsrInput.num_sparsecores_per_device
        XlaSparseDenseMatmulGradWithAdagradAndStaticBufferSize.num_sparsecores_per_device
        XlaSparseDenseMatmulGradWithAdagradMomentumAndCsrInput.num_sparsecores_per_device
        XlaSparseDenseMatmulGradWithAdagradMomentumAndStaticBufferSize.num_sparsecores_per_device
        XlaSparseDenseMatmulGradWithAdamAndCsrInput.num_sparsecores_per_device
        XlaSparseDenseMatmulGradWithAdamAndStaticBufferSize.num_sparsecores_per_device
        XlaSparseDenseMatmulGradWithCsrInput.T
        XlaSparseDenseMatmulGradWithCsrInput.num_sparsecores_per_device
        XlaSparseDenseMatmulGradWithFtrlAndCsrInput.num_sparsecores_per_device
        XlaSparseDenseMatmulGradWithFtrlAndStaticBufferSize.num_sparsecores_per_device
        XlaSparseDenseMatmulGradWithSgdAndCsrInput.num_sparsecores_per_device
        XlaSparseDenseMatmulGradWithSgdAndStaticBufferSize.num_sparsecores_per_device
        XlaSparseDenseMatmulWithCsrInput.T
        XlaSparseDenseMatmulWithCsrInput.num_sparsecores_per_device
        XlaSparseDenseMatmulWithStaticBufferSize.num_sparsecores_per_device
    """,
}

# Names and hints: without them a node answers the same.
HARMLESS_ATTRIBUTES = ("debug_name", "grad_a", "grad_b", "grad_x", "grad_y")
