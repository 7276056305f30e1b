from edgenext_deploy.run.tally import LabelShare, Seen, Tally


def test_labels_by_share_of_frames_and_mean():
    tally = Tally()
    assert tally.shares() == []
    tally.add([Seen(3, "cup", 0.5), Seen(3, "cup", 0.7), Seen(1, "dog", 0.4)])
    tally.add([Seen(3, "cup", 0.9)])
    tally.add([])
    tally.add([Seen(2, "cat", 0.6)])
    assert tally.shares() == [LabelShare(3, "cup", 2, 0.5, 0.8), LabelShare(2, "cat", 1, 0.25, 0.6),
                              LabelShare(1, "dog", 1, 0.25, 0.4)]


def test_two_classes_of_one_name_are_two():
    tally = Tally()
    tally.add([Seen(1, "crane", 0.5), Seen(2, "crane", 0.25)])
    assert [(item.index, item.share) for item in tally.shares()] == [(1, 1.0), (2, 1.0)]
