"""What waits to be said, and in which order."""

from appliance.session.announcements import Announcement, Announcements


class TestAnnouncements:
    def ids(self, queue):
        return [taken.id for taken in iter(lambda: queue.take(free=True), None)]

    def test_urgent_ones_go_before_the_others_each_in_their_order(self):
        queue = Announcements()
        for name, urgent in [("a", False), ("b", True), ("c", False), ("d", True)]:
            queue.add(Announcement(name, name, urgent=urgent))
        assert self.ids(queue) == ["b", "d", "a", "c"]

    def test_the_patient_wait_for_a_free_floor(self):
        queue = Announcements()
        queue.add(Announcement("a", "a", patient=True))
        queue.add(Announcement("b", "b"))
        chosen = queue.take(free=False)
        assert chosen is not None
        assert chosen.id == "b"
        assert queue.take(free=False) is None
        assert queue.take(free=True) is not None

    def test_the_bound_drops_the_oldest_that_is_not_urgent(self):
        queue = Announcements(bound=2)
        queue.add(Announcement("a", "a"))
        queue.add(Announcement("b", "b", urgent=True))
        lost = queue.add(Announcement("c", "c", urgent=True))
        assert lost is not None
        assert lost.id == "a"
        lost = queue.add(Announcement("d", "d", urgent=True))
        assert lost is not None
        assert lost.id == "b"
        assert queue.counters() == {"announcements_waiting": 2, "announcements_dropped": 2}
