"""Official weights measured on the benchmarks that are there, beside what others report of them."""
