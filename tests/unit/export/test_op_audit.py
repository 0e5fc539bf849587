import dataclasses

import keras
import keras_hub
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401 - registers its ops
from tensorflow.core.protobuf import saved_model_pb2

from kerasft.errors import UserError
from kerasft.export import op_audit, server_ops
from kerasft.export.op_audit import audit_saved_model, family_of
from kerasft.export.saved_model import export_saved_model

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "quiet", "film"]
TEXTS = [tf.TensorSpec([None], tf.string, name="text")]


def save(folder, function, **tracked):
    """Saves a function of a text as a SavedModel."""
    module = tf.Module()
    vars(module).update(tracked)
    module.answer = tf.function(function, input_signature=TEXTS, autograph=False)
    tf.saved_model.save(module, str(folder), signatures=module.answer)
    return folder


def edit(version, folder, change):
    """Writes a copy of a SavedModel's graph with something else in it."""
    saved = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    change(saved.meta_graphs[0])
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def upper(tmp_path_factory):
    return save(tmp_path_factory.mktemp("upper"), tf.strings.upper)


@pytest.fixture(scope="module")
def keras_hub_version(tmp_path_factory):
    """KerasHub's own preprocessing of text, exported as it is."""
    tokenizer = keras_hub.models.BertTokenizer(vocabulary=VOCABULARY, lowercase=True)
    preprocess = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=8)
    preprocess.build(None)
    return save(tmp_path_factory.mktemp("hub"), preprocess, preprocess=preprocess)


def test_our_export_needs_no_op_of_a_new_server(parts, tmp_path):
    audit = audit_saved_model(export_saved_model(**parts, folder=tmp_path / "m", metadata={}))
    assert (audit.refused, audit.newer, audit.oldest_server) == ((), (), "2.12.1")
    assert (audit.producer, audit.warnings) == (tf.__version__, ())
    assert audit.ops["FastWordpieceTokenizeWithOffsets"] == 1  # stands in a function only
    assert not any(op.startswith("__inference") for op in audit.ops)


def test_control_keras_hubs_preprocessing_needs_the_newest_server(keras_hub_version):
    audit = audit_saved_model(keras_hub_version)
    assert (audit.oldest_server, audit.refused) == ("2.20.0", ())
    (trim,) = (op for op in audit.newer if op.op == "TFText>RoundRobinTrim")
    assert trim.count == audit.ops["TFText>RoundRobinTrim"] > 0
    assert all("RoundRobinTrim" in place for place in trim.places)
    assert any("multi_segment_packer" in name.lower() or "Trim" in name for name in trim.brought_by)
    assert trim in audit.refused_by("2.19.1")
    assert audit.refused_by("2.20.0") == ()


def ask_python(text):
    with tf.name_scope("lookup"):
        return tf.py_function(lambda rows: rows, [text], tf.string)


def test_a_python_function_is_refused_and_its_layer_named(tmp_path):
    audit = audit_saved_model(save(tmp_path / "m", ask_python))
    (refused,) = audit.refused
    assert audit.oldest_server is None
    assert refused.op == "EagerPyFunc"
    assert refused.brought_by == ("lookup",)
    assert refused.places[0].endswith("lookup/EagerPyFunc")
    assert audit.refused_by("2.20.0") == (refused,)
    assert str(refused) == "EagerPyFunc (brought by lookup)"


def test_without_a_scope_the_traced_function_is_named(tmp_path):
    def ask_outside(text):
        return tf.numpy_function(lambda rows: rows, [text], tf.string)

    (refused,) = audit_saved_model(save(tmp_path / "m", ask_outside)).refused
    assert refused.brought_by == ("ask_outside",)


@pytest.mark.parametrize("number", [0, 1])
def test_every_meta_graph_and_the_main_graph_are_read(upper, tmp_path, number):
    saved = saved_model_pb2.SavedModel.FromString((upper / "saved_model.pb").read_bytes())
    saved.meta_graphs.add().CopyFrom(saved.meta_graphs[0])
    saved.meta_graphs[number].graph_def.node.add(name="layer/call", op="PyFunc")
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    (refused,) = audit_saved_model(tmp_path).refused
    assert (refused.op, refused.places, refused.brought_by) == (
        "PyFunc",
        ("layer/call",),
        ("layer",),
    )


@pytest.mark.parametrize(
    ("op", "server"),
    [
        ("FFTND", "2.15.1"),
        ("DecodeWebP", "2.20.0"),
        ("SimpleMLInferenceOpWithHandle", "2.12.1"),
    ],
)
def test_what_is_newer_than_a_server(upper, tmp_path, op, server):
    def change(meta_graph):
        meta_graph.graph_def.node.add(name="layer/node", op=op)

    audit = audit_saved_model(edit(upper, tmp_path / "m", change))
    assert audit.oldest_server == server
    assert [op.since for op in audit.newer] == ([server] if server != "2.12.1" else [])


@pytest.mark.parametrize(
    ("name", "warned"),
    [("bad_indices_policy", True), ("debug_name", False), ("Tparams", False)],
)
def test_an_attribute_that_old_servers_ignore_is_told(upper, tmp_path, name, warned):
    def change(meta_graph):
        op = "VarHandleOp" if name == "debug_name" else "GatherNd"
        meta_graph.graph_def.node.add(name="layer/node", op=op).attr[name].s = b"x"

    audit = audit_saved_model(edit(upper, tmp_path / "m", change))
    assert audit.oldest_server == "2.12.1"
    assert audit.warnings == (
        (
            "Servers older than 2.17.1 ignore `bad_indices_policy` of GatherNd (nodes: 1): they "
            "may answer otherwise.",
        )
        if warned
        else ()
    )


def test_a_newer_writer_is_told(upper, tmp_path):
    def change(meta_graph):
        meta_graph.meta_info_def.tensorflow_version = "2.21.0-rc1"

    audit = audit_saved_model(edit(upper, tmp_path / "m", change))
    (newer,) = audit.warnings
    assert "Written by TensorFlow 2.21.0-rc1, newer than the newest server, 2.20.0" in newer
    assert audit.producer == "2.21.0-rc1"
    assert audit_saved_model(upper).warnings == ()


def test_an_audit_by_a_newer_tensorflow_says_what_it_does_not_know(upper, monkeypatch):
    monkeypatch.setattr(tf, "__version__", "2.21.0")
    (warning,) = audit_saved_model(upper).warnings
    assert "Audited with TensorFlow 2.21.0" in warning


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "There is no SavedModel in this folder"),
        (b"graph", "cannot be read"),
        (b"", "cannot be read: it holds no graph"),
    ],
)
def test_what_is_no_saved_model_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(UserError, match=message):
        audit_saved_model(tmp_path)


def test_an_audit_cannot_be_changed(upper):
    with pytest.raises(dataclasses.FrozenInstanceError):
        audit_saved_model(upper).refused = ()


# --- what needs XLA; tests/serving/loader/test_xla.py shows that a server fails at it


def lengths_without_xla(text):
    return tf.strings.length(text)


@tf.function(jit_compile=True)
def double(lengths):
    return 2 * lengths


def update_slice(text):
    with tf.name_scope("cache"):
        return keras.ops.slice_update(tf.strings.length(text), (0,), tf.ones(1, tf.int32))


def call_compiled(text):
    return double(tf.strings.length(text))


def enter_scope(text):
    with tf.xla.experimental.jit_scope():
        return tf.abs(tf.strings.length(text))


@pytest.mark.parametrize(
    ("function", "op", "brought_by"),
    [
        (update_slice, "XlaDynamicUpdateSlice", "cache"),
        (call_compiled, "jit_compile=True", "double"),
        (enter_scope, "jit_scope", "enter_scope"),
    ],
)
def test_what_needs_xla_is_refused(tmp_path, function, op, brought_by):
    audit = audit_saved_model(save(tmp_path / "m", function))
    (refused,) = audit.refused
    assert (audit.oldest_server, refused.op, refused.since) == (None, op, None)
    assert refused.brought_by == (brought_by,)
    assert "XLA compilation off" in refused.why
    assert "--xla_cpu_compilation_enabled" in refused.fix
    assert "keras.ops.scatter_update" in refused.fix


@pytest.mark.parametrize(
    "op", ["XlaCallModule", "XlaSharding", "XlaSetBound", "XlaLaunch", "Custom>Shout"]
)
def test_every_op_of_xla_is_refused_and_an_op_that_nobody_knows(upper, tmp_path, op):
    def change(meta_graph):
        meta_graph.graph_def.node.add(name="layer/node", op=op)

    assert audit_saved_model(upper).oldest_server == "2.12.1"
    (refused,) = audit_saved_model(edit(upper, tmp_path / "m", change)).refused
    assert (refused.op, refused.brought_by) == (op, ("layer",))


@pytest.mark.parametrize("marked", ["function", "node"])
def test_a_mark_of_either_side_is_enough(tmp_path, marked):
    """TensorFlow marks a compiled function and its calls; a tool may have dropped one of them."""

    def change(meta_graph):
        for function in meta_graph.graph_def.library.function:
            for owner in [function] if marked == "node" else function.node_def:
                owner.attr.pop("_XlaMustCompile", None)

    version = save(tmp_path / "m", call_compiled)
    (refused,) = audit_saved_model(edit(version, tmp_path / "edited", change)).refused
    assert (refused.op, refused.brought_by) == ("jit_compile=True", ("double",))


def test_a_function_that_no_signature_calls_may_need_xla(tmp_path):
    """Such as the training step of a Keras model: it is saved, and a server never runs it."""
    double(tf.zeros(2, tf.int32))
    version = save(tmp_path / "m", lengths_without_xla, train_function=double)
    audit = audit_saved_model(version)
    functions = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    names = [f.signature.name for f in functions.meta_graphs[0].graph_def.library.function]
    assert any("double" in name for name in names)  # it is there
    assert (audit.refused, audit.oldest_server) == ((), "2.12.1")


# --- the lists


def test_tensorflows_ops_come_from_tensorflow_and_text_ops_do_not_count_as_its():
    """TF-Text is loaded in this process, and its ops are registered beside TensorFlow's."""
    registered = op_audit.registered_ops()
    assert len(registered) > 1500
    text = server_ops.TEXT_OPS.keys()
    assert text <= registered
    assert not any(op_audit.is_core_op(op) for op in text)
    core = {op for op in registered if op_audit.is_core_op(op)}
    assert len(core) > 1300
    assert {"MatMul", "StaticRegexReplace", "XlaSharding"} <= core
    assert not core & {"TestStringOutput", "_FusedMatMul"}


def test_the_text_ops_are_those_of_the_installed_tf_text():
    """No op of TF-Text's is missing from the list, which a newer TF-Text would bring about."""
    before = {op for op in op_audit.registered_ops() if op_audit.is_core_op(op)}
    namespaced = {op for op in op_audit.registered_ops() - before if op.startswith("TFText>")}
    assert len(namespaced) > 10
    assert namespaced <= server_ops.TEXT_OPS.keys()


def test_new_ops_and_attributes_are_tensorflows_own():
    assert server_ops.NEW_OPS.keys() <= op_audit.registered_ops() | {"RelayoutGrad"}
    servers = {*server_ops.NEW_OPS.values(), *server_ops.NEW_ATTRIBUTES.values()}
    assert servers <= set(server_ops.SERVERS)


@pytest.mark.parametrize(
    ("op", "family"),
    [
        ("MatMul", op_audit.TENSORFLOW),
        ("FastBertNormalize", op_audit.TEXT),
        ("SimpleMLInferenceOp", op_audit.FORESTS),
        ("SimpleMLModelTrainer", op_audit.UNKNOWN),
        ("EagerPyFunc", op_audit.UNKNOWN),
        ("__name__", op_audit.UNKNOWN),
    ],
)
def test_families(op, family):
    assert family_of(op) == family
