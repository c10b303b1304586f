"""What a user takes away: manifest folders, keys in other forms, reports, comparisons."""
