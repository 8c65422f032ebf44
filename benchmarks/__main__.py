"""All benchmarks: `make bench`."""

from benchmarks import stages, views

if __name__ == "__main__":
    stages.main()
    print("\nviews beside those of other libraries:")
    views.main()
