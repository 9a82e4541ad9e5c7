import math

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.models import ResNet50_Weights, convnext_tiny, resnet50, swin_t
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import functional as transform

from note_checks import check, formula, holds, pitfall, sourced, stated, unexecuted
from trainings import descend, handwritten_digits

NORMALISATION = r"\hat{x}_c = \frac{x_c / 255 - \mu_c}{\sigma_c}"
RESIZE = r"r = \left\lfloor \frac{s}{p} \right\rfloor"
FIRST_LAYER = r"""
W'_{o,1} = \sum_{c=1}^{3} W_{o,c} \quad (C = 1), \qquad
W'_{o,c} = \frac{3}{C}\, W_{o,\, 1 + (c-1) \bmod 3} \quad (C \ne 1, 3)
"""
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

sourced(
    "timm documentation, quickstart and feature extraction",
    "Input",
    "Output",
    "Three ways to features: which one?",
)
sourced("timm, timm/models/_builder.py and _factory.py: load_pretrained, create_model", "Parameters", "Defaults")
sourced("timm documentation, quickstart", "How do I find a model?")
sourced("timm, timm/models/_hub.py and the repository's README", "Where weights come from", "timm")
sourced(
    "timm model cards resnet50.a1_in1k and vit_base_patch16_224.augreg_in21k",
    "What does the part after the dot mean?",
)
sourced("ResNet strikes back, arXiv 2110.00476, abstract", "How much can the recipe change?")
sourced("timm, timm/models/vision_transformer.py, checkpoint_filter_fn", "Does a ViT from timm take other image sizes?")
sourced("Transformers documentation: AutoImageProcessor, Trainer", "Transformers")
sourced("open_clip README: pretrained models, create_model_and_transforms", "open_clip")


@formula(NORMALISATION)
def check_normalisation():
    for mean, std in (IMAGENET, ((0.5,) * 3, (0.5,) * 3)):
        image = torch.randint(0, 256, (3, 8, 6), dtype=torch.uint8)
        library = transform.normalize(transform.convert_image_dtype(image, torch.float64), mean, std).numpy()
        for c in range(3):
            np.testing.assert_allclose((image[c].numpy() / 255 - mean[c]) / std[c], library[c], rtol=1e-9, atol=1e-12)


@holds("torchvision")
@formula(RESIZE)
def check_resize_of_the_shorter_side():
    for weights, fraction in ((ResNet50_Weights.IMAGENET1K_V1, 0.875), (ResNet50_Weights.IMAGENET1K_V2, 0.965)):
        preset = weights.transforms()
        assert math.floor(preset.crop_size[0] / fraction) == preset.resize_size[0]
        resized = transform.resize(torch.zeros(3, 300, 400), preset.resize_size, antialias=True)
        assert min(resized.shape[1:]) == preset.resize_size[0]
        assert preset(torch.zeros(3, 300, 400, dtype=torch.uint8)).shape == (3, 224, 224)
    models = torchvision.models
    kinds = (models.detection, models.segmentation, models.video, models.optical_flow)
    assert "resnet50" in models.list_models(module=models) and all(models.list_models(module=kind) for kind in kinds)


@holds("How much can the recipe change?", "Does a ViT from timm take other image sizes?")
def check_published_accuracy_and_other_sizes():
    stated("76.13", ResNet50_Weights.IMAGENET1K_V1.meta["_metrics"]["ImageNet-1K"]["acc@1"])
    with torch.device("meta"):
        assert all(
            resnet50()(torch.empty(2, 3, *size)).shape == (2, 1000) for size in ((160, 160), (224, 224), (320, 200))
        )


def converted(W, C):
    """The third formula, channel by channel (counted from 1 as in the article)."""
    if C == 1:
        return W.sum(1, keepdims=True)
    return np.stack([3 / C * W[:, (c - 1) % 3] for c in range(1, C + 1)], axis=1)


@formula(FIRST_LAYER)
def check_first_layer_conversion():
    conv = nn.Conv2d(3, 5, 3, padding=1, bias=False).double()
    W = conv.weight.detach().numpy()
    grey = torch.randn(2, 1, 7, 7, dtype=torch.float64)
    one = F.conv2d(grey, torch.tensor(converted(W, 1)), padding=1)
    np.testing.assert_allclose(one, conv(grey.expand(-1, 3, -1, -1)).detach(), atol=1e-12)
    colour = torch.randn(2, 3, 7, 7, dtype=torch.float64)
    for times in (2, 3):
        many = F.conv2d(colour.repeat(1, times, 1, 1), torch.tensor(converted(W, 3 * times)), padding=1)
        np.testing.assert_allclose(many, conv(colour).detach(), atol=1e-12)
    for C in (2, 4, 5):  # the rule of timm's adapt_input_conv, with torch's repeat
        library = torch.tensor(W).repeat(1, math.ceil(C / 3), 1, 1)[:, :C] * 3 / C
        np.testing.assert_allclose(converted(W, C), library, rtol=1e-12)


@check
def check_by_hand():
    white, black = torch.ones(3, 1, 1, dtype=torch.float64), torch.zeros(3, 1, 1, dtype=torch.float64)
    stated("2.2489", transform.normalize(white, *IMAGENET)[0])
    stated("−2.1179", transform.normalize(black, *IMAGENET)[0])
    half = ((0.5,) * 3, (0.5,) * 3)
    stated("1", transform.normalize(white, *half)[0])
    stated("−1", transform.normalize(black, *half)[0])
    for text, fraction in (("256", 0.875), ("235", 0.95), ("232", 0.965)):
        stated(text, math.floor(224 / fraction))
    stated("0.6", converted(np.array([0.2, 0.5, -0.1]).reshape(1, 3, 1, 1), 1).item())


@holds("Same in train and eval?")
@pitfall("Predictions change with the batch")
def check_train_mode():
    torch.manual_seed(0)
    net = resnet50(num_classes=10)
    assert net.training
    x, start = torch.randn(4, 3, 64, 64), net.bn1.running_mean.clone()
    with torch.no_grad():
        assert not torch.allclose(net(x)[:2], net(x[:2]), atol=1e-3)
        net.eval()
        assert torch.allclose(net(x)[:2], net(x[:2]), atol=1e-4)
        assert not torch.equal(net.bn1.running_mean, start)  # moved, although without gradients
        for rate in (0.0, 0.5):  # a ViT layer has no BatchNorm
            layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=rate, batch_first=True)
            tokens = torch.randn(2, 5, 8)
            assert torch.allclose(layer.train()(tokens), layer.eval()(tokens), atol=1e-5) is (rate == 0)


@pitfall("`features_only=True` fails or all maps have one size")
def check_vit_blocks_share_one_stride():
    """timm's option is not run; the blocks and stages of torchvision's models of these names are."""
    from torchvision.models.vision_transformer import VisionTransformer

    net = VisionTransformer(image_size=32, patch_size=8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=32)
    shapes = []
    for layer in net.encoder.layers:
        layer.register_forward_hook(lambda _module, _inputs, output: shapes.append(tuple(output.shape)))
    net(torch.randn(1, 3, 32, 32))
    assert shapes == [(1, 17, 16)] * 3
    with torch.device("meta"):
        for create, layout in ((convnext_tiny, None), (swin_t, (0, 3, 1, 2))):
            net = create_feature_extractor(create().eval(), [f"features.{i}" for i in (1, 3, 5, 7)])
            maps = [m.permute(layout) if layout else m for m in net(torch.randn(1, 3, 64, 64)).values()]
            assert [tuple(m.shape[1:]) for m in maps] == [(96, 16, 16), (192, 8, 8), (384, 4, 4), (768, 2, 2)]


def trained_on_digits(steps=200):
    """A small network trained on digits that were normalized with their own mean and deviation."""
    x, y = handwritten_digits()
    data = (x.mean(), x.std())
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    fit(model, (x[:1000] - data[0]) / data[1], y[:1000], model.parameters(), steps)
    score = lambda model, mean, std: (model((x[1000:] - mean) / std).argmax(1) == y[1000:]).float().mean().item()
    return model, x, y, data, score


def fit(model, x, y, parameters, steps):
    optimizer = torch.optim.Adam(parameters, 0.01)
    descend(optimizer, lambda: F.cross_entropy(model(x), y), steps)


@pitfall("Accuracy is a few points too low")
def check_normalisation_of_other_weights():
    """timm's two functions are not run; what they restore, the values of the weights, is."""
    model, _, _, data, score = trained_on_digits()
    assert score(model, *data) > score(model, 0.9, 0.5) + 0.02
    assert score(model, *data) > 0.88


@pitfall("A model with pretrained weights predicts at random")
def check_a_new_head():
    model, x, y, data, score = trained_on_digits()
    kept, model[2] = model[2], nn.Linear(32, 10)
    assert score(model, *data) < 0.35
    fit(model, (x[:1000] - data[0]) / data[1], y[:1000], model[2].parameters(), 100)
    assert score(model, *data) > 0.85
    model[2] = kept
    assert score(model, *data) > 0.85


unexecuted('"resnet50" differs between two machines', "needs timm in two versions and downloaded weights")
