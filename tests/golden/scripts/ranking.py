"""What ranking must give, in short NumPy (versions: tests/golden/scripts/requirements.txt): tests/golden/data/ranking.json.

    python tests/golden/scripts/ranking.py OUT

OUT is the real hippocampus cohort, curated with --val-share 0 --test-share 0 --proxy-size 32: 180 training cases.
The same functions are run on a small made-up matrix, which the tests make themselves. Cases are row numbers in
the order of their ids. Facility location is apricot-select's, modularity networkx's (the best of ten seeds).
"""

import json
import pathlib
import sys

import apricot
import blake3
import networkx
import numpy
import pyarrow.parquet
import sklearn

GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "data"
# sign, identical
METRICS = {"ssim": (1.0, 1.0), "uqi": (1.0, 1.0), "mse": (-1.0, 0.0), "psnr": (1.0, 100.0)}


def made_up(cases=60):
    """Points in four clusters; similarity falls with the squared distance."""
    state, points = 1, []
    for case in range(cases):
        point = []
        for axis in range(3):
            state = (state * 1103515245 + 12345) % 2**31
            point.append((state >> 8) % 1000 / 1000 + ((case % 4) >> axis) % 2 * 0.75)
        points.append(point)
    matrix = numpy.empty((cases, cases), numpy.float32)
    for a in range(cases):
        for b in range(cases):
            squares = [(x - y) * (x - y) for x, y in zip(points[a], points[b])]
            matrix[a, b] = 1 / (1 + 4 * (squares[0] + squares[1] + squares[2]))
    return matrix


def real(out, metric):
    """The similarity of all cases in the order of their ids: larger is more similar."""
    table = pyarrow.parquet.read_table(out / "pairs").to_pydict()
    ids = sorted({*table["case_a"], *table["case_b"]})
    row = {case: number for number, case in enumerate(ids)}
    sign, identical = METRICS[metric]
    matrix = numpy.full((len(ids), len(ids)), identical, numpy.float32)
    for a, b, value in zip(table["case_a"], table["case_b"], table[metric]):
        matrix[row[a], row[b]] = matrix[row[b], row[a]] = min(numpy.float32(sign) * numpy.float32(value), identical)
    return ids, matrix


def others(matrix):
    """Each case's similarity to the others: (cases, cases - 1)."""
    cases = len(matrix)
    return matrix[~numpy.eye(cases, dtype=bool)].reshape(cases, cases - 1).astype(float)


def mean(matrix):
    return others(matrix).mean(axis=1)


def median(matrix):
    return numpy.median(others(matrix), axis=1)


def to(matrix, references):
    return matrix[:, references].astype(float).mean(axis=1)


def medoid(matrix):
    return to(matrix, [int(numpy.argmax(mean(matrix)))])


def knn(matrix, neighbours=5):
    return numpy.sort(others(matrix), axis=1)[:, -neighbours:].mean(axis=1)


def mean_rank(scores):
    ranks = []
    for score in scores:
        before = (score[None, :] > score[:, None]).sum(axis=1)
        equal = (score[None, :] == score[:, None]).sum(axis=1)
        ranks.append(before + (equal + 1) / 2)
    cases = len(scores[0])
    return numpy.mean([(cases - rank) / (cases - 1) for rank in ranks], axis=0)


def typical(score):
    return numpy.argsort(-score, kind="stable").tolist()


def atypical(score):
    return numpy.argsort(score, kind="stable").tolist()


def random(ids, seed):
    def key(case):
        parts = [b"random order 1", b"seed", str(seed).encode(), b"case", json.dumps(case).encode()]
        return blake3.blake3(b"".join(len(part).to_bytes(8, "little") + part for part in parts)).hexdigest()

    return sorted(range(len(ids)), key=lambda case: key(ids[case]))


def greedy(cases, worth, first=None):
    """Takes the case of the largest worth(case, taken), the first of equals, until all are taken."""
    taken = [] if first is None else [first]
    while len(taken) < cases:
        waiting = [case for case in range(cases) if case not in set(taken)]
        values = [worth(case, taken) for case in waiting]
        taken.append(waiting[int(numpy.argmax(values))])
    return taken


def k_centre(matrix):
    return greedy(len(matrix), lambda case, taken: -matrix[case, taken].max(), typical(mean(matrix))[0])


def mmr(unit, relevance, weight):
    def worth(case, taken):
        return weight * relevance[case] - (1 - weight) * (float(unit[case, taken].max()) if taken else 0.0)

    return greedy(len(unit), worth)


def facility_location(unit):
    """On whole numbers, so that no gain is rounded and the first of equals is the first."""
    model = apricot.FacilityLocationSelection(len(unit), metric="precomputed", optimizer="naive")
    return model.fit(numpy.floor(unit.astype(numpy.float64) * 2**30)).ranking.tolist()


def interleave(order, group):
    keys = {}
    for name in set(group):
        members = [case for case in order if group[case] == name]
        keys.update({case: ((2 * place + 1) / (2 * len(members)), case) for place, case in enumerate(members)})
    return sorted(order, key=keys.get)


def edges(matrix, share=0.1):
    values = numpy.sort(matrix[numpy.triu_indices(len(matrix), 1)])[::-1]
    threshold = values[int(numpy.ceil(share * len(values) - 1e-9)) - 1]
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(matrix)))
    for a, b in zip(*numpy.triu_indices(len(matrix), 1)):
        if matrix[a, b] >= threshold:
            graph.add_edge(int(a), int(b), weight=float(max(matrix[a, b], 0)))
    best = 0.0
    for seed in range(10):
        communities = networkx.community.louvain_communities(graph, seed=seed)
        best = max(best, networkx.community.modularity(graph, communities))
    degree = [graph.degree(case) for case in range(len(matrix))]
    return {"threshold": float(threshold), "modularity": best, "degree": degree}


def outliers(matrix, identical=1.0, fence=1.5):
    distance = identical - knn(matrix)
    first, third = numpy.quantile(distance, [0.25, 0.75])
    limit = third + fence * (third - first)
    far = [case for case in numpy.argsort(-distance, kind="stable").tolist() if distance[case] > limit]
    return {"limit": limit, "cases": far}


def duplicates(matrix, ssim):
    """Case by case by id (all are annotated alike): the case that stands for it, or none."""
    stands_for = []
    for case in range(len(matrix)):
        earlier = [other for other in range(case) if stands_for[other] is None and matrix[case, other] >= ssim]
        stands_for.append(min(earlier, default=None))
    return stands_for


def answers(matrix):
    unit = numpy.maximum(matrix, 0)
    return {
        "mean": typical(mean(matrix)),
        "median": typical(median(matrix)),
        "medoid": typical(medoid(matrix)),
        "reference": typical(to(matrix, [3])),
        "references": typical(to(matrix, [3, 7])),
        "knn": typical(knn(matrix)),
        "atypical": atypical(mean(matrix)),
        "k-centre": k_centre(matrix),
        "facility-location": facility_location(unit),
        "mmr": mmr(unit, mean(matrix), 0.5),
    }


def main():
    out = pathlib.Path(sys.argv[1])
    matrix = made_up()
    small = {"orders": answers(matrix), "graph": edges(matrix), "outliers": outliers(matrix)}
    small["scores"] = {"mean": mean(matrix).tolist(), "median": median(matrix).tolist(), "knn": knn(matrix).tolist()}

    ids, ssim = real(out, "ssim")
    assert len(ids) == 180
    mse, psnr, uqi = (real(out, metric)[1] for metric in ["mse", "psnr", "uqi"])
    cases = pyarrow.parquet.read_table(out / "cases.parquet", columns=["case_id", "voxel_type"]).to_pydict()
    voxel_type = dict(zip(cases["case_id"], cases["voxel_type"]))
    orders = answers(ssim)
    orders["mse"] = typical(mean(mse))
    orders["psnr"] = typical(mean(psnr))
    orders["uqi"] = typical(mean(uqi))
    orders["ssim,mse"] = typical(mean_rank([mean(ssim), mean(mse)]))
    orders["random"] = random(ids, 3)
    orders["stratified"] = interleave(typical(mean(ssim)), [voxel_type[case] for case in ids])
    orders["mse k-centre"] = k_centre(mse)
    orders["mse facility-location"] = facility_location(numpy.float32(1) + mse)
    stands_for = duplicates(ssim, 0.6)
    hippocampus = {"orders": orders, "graph": edges(ssim), "outliers": outliers(ssim), "stands_for": stands_for}
    versions = {module.__name__: module.__version__ for module in [numpy, networkx, sklearn, blake3]}
    versions["apricot-select"] = apricot.__version__ if hasattr(apricot, "__version__") else "0.6.1"
    text = json.dumps({"versions": versions, "made_up": small, "hippocampus": hippocampus})
    (GOLDEN / "ranking.json").write_text(text.replace('], "', '],\n"').replace('}, "', '},\n"') + "\n")


if __name__ == "__main__":
    main()
