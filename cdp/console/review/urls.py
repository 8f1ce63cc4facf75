"""The addresses of reviewing."""

from django.urls import path

from cdp.console.review import blind, bulk, clusters, decisions, preview, queue, thresholds

app_name = "review"
urlpatterns = [
    path("", queue.queue, name="queue"),
    path("next/", queue.next_pair, name="next"),
    path("decisions/", decisions.decisions, name="decisions"),
    path("thresholds/", thresholds.thresholds, name="thresholds"),
    path("thresholds/effect/", thresholds.effect, name="thresholds-effect"),
    path("bulk/", bulk.bulk, name="bulk"),
    path("bulk/accept/", bulk.accept, name="bulk-accept"),
    path("bulk/<int:run_id>/", bulk.run, name="bulk-run"),
    path("bulk/<int:run_id>/undo/", bulk.take_back, name="bulk-undo"),
    path("clusters/", clusters.clusters, name="clusters"),
    path("clusters/<int:profile_id>/", clusters.cluster, name="cluster"),
    path("merges/<int:merge_id>/", clusters.merge, name="merge"),
    path("decisions/export/", decisions.export, name="decisions-export"),
    path("decisions/<int:candidate_id>/undo/", decisions.take_back, name="decisions-undo"),
    path("decisions/lift/", decisions.lift, name="decisions-lift"),
    path("blind/", blind.blind, name="blind"),
    path("blind/draw/", blind.draw, name="blind-draw"),
    path("blind/undo/", blind.take_back, name="blind-undo"),
    path("blind/<int:draw_id>/", blind.judge, name="blind-judge"),
    path("undo/", queue.undo, name="undo"),
    path("<int:candidate_id>/", queue.pair, name="pair"),
    path("<int:candidate_id>/decide/", queue.decide, name="decide"),
    path("<int:candidate_id>/keep/", queue.keep, name="keep"),
    path("<int:candidate_id>/preview/", preview.preview, name="preview"),
]
