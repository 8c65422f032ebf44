"""All benchmarks: `make bench`."""

from benchmarks import stages, views

if __name__ == "__main__":
    stages.main()
    print("\nviews, of which each image gets two, beside torchvision's per-image transforms:")
    views.main()
