"""The checks of the chart and of the custom resource definitions; tests/charts/run calls them."""
