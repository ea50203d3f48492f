"""A table in, points out: `python3 -B -m unittest discover benches`."""

import unittest
from xml.etree import ElementTree

import plots

PRINTED = """
### Types: CPU us/event, ct, median of 3 rounds

| | each in turn | all to one | by the other |
|---|---|---|---|
| 1 subscriptions | 0.100 | 0.101 | 1.01x ok |
| 1,000 subscriptions | 0.200 | 0.110 | **0.55x MISSED** (1x) |

Ours: 1.06x ok
"""


class Plots(unittest.TestCase):
    def test_a_table_becomes_points_and_ratios_are_left_out(self):
        [(title, series)] = plots.tables(PRINTED).items()
        self.assertEqual(title, "Types: CPU us/event, ct, median of 3 rounds")
        expected = {"each in turn": [(1, 0.1), (1000, 0.2)], "all to one": [(1, 0.101), (1000, 0.11)]}
        self.assertEqual(series, expected)

    def test_a_larger_value_is_drawn_further_up_and_right(self):
        plot = next(plot for plot in plots.PLOTS if plot.file == "types.svg")
        [series] = plots.tables(PRINTED).values()
        picture = ElementTree.fromstring(plots.svg(plot, series))
        [line, _] = picture.iter("{http://www.w3.org/2000/svg}polyline")
        (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line.get("points").split())
        self.assertLess(x1, x2)
        self.assertGreater(y1, y2)

    def test_axes_enclose_all_values_with_round_steps(self):
        self.assertEqual(plots.steps(0.3, 0.9, log=False), [0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0])
        self.assertEqual(plots.steps(0.03, 200, log=True), [0.01, 0.1, 1, 10, 100, 1000])


if __name__ == "__main__":
    unittest.main()
